//! Names that people give, and those that are made of them.

use super::super::step::{Refusal, Why};

/// The rule of every id.
pub(crate) const RULE: &str = "1 to 64 letters, digits, `.`, `_` or `-`, not beginning with a dot or dash";

/// Whether an id is one.
pub(crate) fn is_id(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 64 && text.chars().all(good) && !text.starts_with(['.', '-'])
}

/// Refuses what is no id.
pub(super) fn check_id(field: &str, text: &str) -> Result<(), Refusal> {
    if is_id(text) {
        return Ok(());
    }
    Err(Refusal::new(Why::Invalid, format!("`{text}` is no name for this")).field(field, RULE))
}

/// Refuses a name for people that is empty or too long.
pub(super) fn check_name(field: &str, text: &str) -> Result<(), Refusal> {
    if (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::new(Why::Invalid, "a name has 1 to 255 characters")
        .field(field, "1 to 255 characters, no control characters"))
}

/// An id made of a name: its letters and digits in lower case, everything else a dash; with a number where it is taken.
pub(super) fn id_of(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut slug: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    while slug.contains("--") {
        slug = slug.replace("--", "-");
    }
    let slug: String = slug.trim_matches('-').chars().take(48).collect();
    let slug = if slug.is_empty() { "unnamed".to_owned() } else { slug };
    if !taken(&slug) {
        return slug;
    }
    (2_u64..).map(|n| format!("{slug}-{n}")).find(|id| !taken(id)).unwrap_or(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_names_and_never_taken() {
        assert_eq!(id_of("Bench 3: left / right", |_| false), "bench-3-left-right");
        assert_eq!(id_of("a", |id| id == "a" || id == "a-2"), "a-3");
        assert_eq!(id_of("§§", |_| false), "unnamed");
        assert!(is_id("worker.1_a-b") && !is_id("-a") && !is_id("") && !is_id("a/b") && !is_id(&"x".repeat(65)));
    }
}
