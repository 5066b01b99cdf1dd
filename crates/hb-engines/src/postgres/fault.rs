//! What a fault comes to: whether a question was done, was not done, or may have been; and what an operator can do about it.

use std::error::Error as _;

use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// Nothing was asked, and nothing will be until somebody changes something: passwords, rights, the schema.
    Unusable(String),
    /// Nothing was asked: there is no connection now.
    Away(String),
    /// The server says that it was not done.
    Refused(SqlState, String),
    /// It was asked, and no answer came: it may have been done.
    Broken(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(what) | Self::Away(what) | Self::Refused(_, what) | Self::Broken(what) => f.write_str(what),
        }
    }
}

impl Fault {
    /// Of a question that was sent.
    pub(super) fn of_question(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // An error of a statement takes all of it back. What ends the session may come after the commit.
            Some(said) if said.parsed_severity() == Some(Severity::Error) => {
                Self::Refused(said.code().clone(), told(said))
            }
            Some(said) => Self::Broken(told(said)),
            None => Self::Broken(chain(error)),
        }
    }

    /// Of a connection that was being made.
    pub(super) fn of_connecting(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) if passes(said.code()) => Self::Away(told(said)),
            Some(said) => Self::Unusable(told(said)),
            None if is_setting(error) => Self::Unusable(with_advice(chain(error))),
            None => Self::Away(chain(error)),
        }
    }

    /// Whether asking once more, at once, can end otherwise: writers met.
    pub(super) fn met(&self) -> bool {
        let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION];
        matches!(self, Self::Refused(code, _) if codes.contains(code))
    }

    /// The same with a place before it.
    pub(super) fn at(self, place: &str) -> Self {
        let put = |what: String| format!("{place}: {what}");
        match self {
            Self::Unusable(what) => Self::Unusable(put(what)),
            Self::Away(what) => Self::Away(put(what)),
            Self::Refused(code, what) => Self::Refused(code, put(what)),
            Self::Broken(what) => Self::Broken(put(what)),
        }
    }
}

/// Refusals of a connection that go by themselves: starting up, shutting down, full, short of memory.
fn passes(code: &SqlState) -> bool {
    ["57P", "53", "08", "58"].iter().any(|class| code.code().starts_with(class))
        && *code != SqlState::DATABASE_DROPPED
        && !refuses_parameter(code)
}

/// A pooler says so of a parameter that it does not pass on.
fn refuses_parameter(code: &SqlState) -> bool {
    *code == SqlState::PROTOCOL_VIOLATION
}

/// What the server said, in its words, with what can be done.
fn told(said: &DbError) -> String {
    let mut text = format!("{} ({})", said.message(), said.code().code());
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    match advice(said.code()) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

fn advice(code: &SqlState) -> Option<&'static str> {
    Some(match code.code() {
        "28P01" | "28000" => {
            "look at the password (address, password_file, PGPASSWORD, PGPASSFILE) and at the server's pg_hba.conf"
        }
        "3D000" => "create it: CREATE DATABASE … OWNER …",
        "42501" => "see \"Rights\" in docs/engines/postgres.md",
        "42P01" | "42883" | "3F000" => "hb's tables are not as they were made: see docs/engines/postgres.md",
        "53100" => "make room on the server's disk",
        "53300" => "raise max_connections: hb needs up to three for each watch of a node",
        "25006" => "the server takes no writes: it is a replica, or was set to read only",
        "08P01" => {
            "a pooler that does not pass options on cannot be used, since it mixes sessions: name the server itself, \
             see \"Pooling\" in docs/engines/postgres.md"
        }
        _ => return None,
    })
}

/// A fault with all that is behind it.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Faults of a connection that stay until something is changed: certificates, a missing password, TLS that is not there.
fn is_setting(error: &tokio_postgres::Error) -> bool {
    let text = chain(error);
    ["certificate", "password missing", "server does not support TLS", "invalid configuration"]
        .iter()
        .any(|sign| text.contains(sign))
}

fn with_advice(text: String) -> String {
    let advice = if text.contains("does not support TLS") {
        "switch on ssl at the server, or say sslmode=disable if the network can be trusted"
    } else if text.contains("certificate") {
        "name the authority that signed the server's certificate by ca_file=, and the server as the certificate does"
    } else if text.contains("password") {
        "give one by password_file=, PGPASSWORD or PGPASSFILE"
    } else {
        return text;
    };
    format!("{text}; {advice}")
}
