//! The error that ends a program, as text or JSON: its causes and its remedy.

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
