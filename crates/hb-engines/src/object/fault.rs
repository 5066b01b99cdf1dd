//! What an error of the library means for whoever asked: done or not, worth asking again or not, and what to do about it.

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// Most of an error's text that is told; stores answer with pages of XML.
const TEXT_MAX: usize = 500;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no such object.
    Missing,
    /// The condition did not hold: nothing was changed.
    Condition,
    /// Nothing was changed, and asking the same again is of no use for now.
    Never,
    /// It may have been done, or may be done later.
    Unsure,
}

/// A question that did not go well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// In words, with advice where there is any.
    pub(super) what: String,
}

impl Fault {
    pub(super) fn may_pass(&self) -> bool {
        self.kind == Kind::Unsure
    }
}

/// `status` is that of the newest answer, if any came: the library makes one error of several.
pub(super) fn judge(error: &Error, status: Option<u16>) -> Fault {
    let text = chain(error);
    let no_bucket = names_no_bucket(&text);
    let kind = match status {
        // Nothing was answered: certainly not done only when there was no connection to send it by.
        None if refused_connection(error) => Kind::Never,
        // The store in memory answers without any status.
        None | Some(200..=299) => by_variant(error),
        Some(404 | 410) if no_bucket => Kind::Never,
        Some(404 | 410) if matches!(error, Error::NotFound { .. }) => Kind::Missing,
        // A conditional put of what is not there (any more).
        Some(404 | 410) if matches!(error, Error::Precondition { .. }) => Kind::Condition,
        Some(412 | 304) => Kind::Condition,
        // Two requests met: what became of this one is not said.
        Some(409 | 408 | 429) => Kind::Unsure,
        Some(300..=499 | 501) => Kind::Never,
        Some(_) => Kind::Unsure,
    };
    Fault { kind, what: format!("{}{}", cut(&text), advice(status, &text, error)) }
}

fn by_variant(error: &Error) -> Kind {
    if matches!(error, Error::NotFound { .. }) {
        Kind::Missing
    } else if matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. }) {
        Kind::Condition
    } else if matches!(
        error,
        Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    ) {
        Kind::Never
    } else {
        Kind::Unsure
    }
}

fn refused_connection(error: &Error) -> bool {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = inner {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return http.kind() == HttpErrorKind::Connect;
        }
        inner = cause.source();
    }
    false
}

/// Whether the answer is about the bucket, not the object: both are 404.
fn names_no_bucket(text: &str) -> bool {
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

fn advice(status: Option<u16>, text: &str, error: &Error) -> &'static str {
    match status {
        _ if names_no_bucket(text) => "; make the bucket, or correct its name",
        Some(401 | 403) => {
            "; check the credentials in the environment and what the bucket's policy allows (docs/engines/object.md lists it)"
        }
        Some(300..=399) => "; the bucket is in another region: name it by ?region=",
        Some(501) => "; this store does not know conditional writes: hb cannot use it",
        Some(429 | 503) => "; the store asks to go slower",
        None if refused_connection(error) => "; is the store up, and is its address right?",
        Some(_) | None => "",
    }
}

/// An error with what is behind it, each part once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(cause) = inner {
        let part = cause.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        inner = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TEXT_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(TEXT_MAX).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic() -> Error {
        Error::Generic { store: "S3", source: "something".into() }
    }

    fn exists() -> Error {
        Error::AlreadyExists { path: "p".into(), source: "something".into() }
    }

    #[test]
    fn j5_what_may_have_been_done_is_never_called_not_done() {
        for status in [408, 409, 429, 500, 502, 503, 504] {
            assert_eq!(judge(&generic(), Some(status)).kind, Kind::Unsure, "{status}");
        }
        assert_eq!(judge(&exists(), Some(409)).kind, Kind::Unsure, "the library calls a conflict `exists`");
        assert_eq!(judge(&exists(), Some(412)).kind, Kind::Condition);
        assert_eq!(judge(&generic(), None).kind, Kind::Unsure, "no answer at all");
        assert_eq!(judge(&generic(), Some(200)).kind, Kind::Unsure, "an answer that broke off");
        for status in [400, 401, 403, 301, 501] {
            assert_eq!(judge(&generic(), Some(status)).kind, Kind::Never, "{status}");
        }
    }

    #[test]
    fn a_missing_bucket_is_not_an_empty_one() {
        let source = "404 <Code>NoSuchBucket</Code>".into();
        let fault = judge(&Error::NotFound { path: "p".into(), source }, Some(404));
        assert_eq!(fault.kind, Kind::Never);
        assert!(fault.what.contains("make the bucket"), "{}", fault.what);
    }
}
