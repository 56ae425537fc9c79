//! Credentials: secrets in files and variables, and the file of OAuth tokens.

pub mod secret;
pub mod token_file;

pub use self::token_file::TokenFile;
