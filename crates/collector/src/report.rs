//! How a program tells that it failed: what happened with its causes, and what to do.

use crate::Error;
use crate::logging::Form;

/// The last words of `program`: each cause once, then the remedy; or one JSON object.
pub fn report(program: &str, error: &Error, form: Form) -> String {
    let (message, remedy) = (error.chain(), error.remedy());
    match form {
        Form::Text => format!("{program}: {message}\n  {remedy}"),
        Form::Json => serde_json::json!({
            "level": "ERROR",
            "message": message,
            "remedy": remedy,
            "exit_code": error.exit_code(),
        })
        .to_string(),
    }
}
