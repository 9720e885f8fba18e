//! Values of every kind reach readers as they want them, and what cannot be made is refused.

mod certificates;
mod env_files;
mod fields;
mod whole;
