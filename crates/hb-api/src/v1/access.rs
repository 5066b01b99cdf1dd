//! Who asks, and what they may.
//!
//! Tokens are kept as their SHA-256 and compared without telling by the time taken how much of one was right. Whoever shows a token that is
//! not known is refused, also where nobody would have to show one.

use std::fmt;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use hb_core::ids::AgentId;
use hb_core::supervise::input::{Person, Role};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// Most tokens of a file (B1).
pub const TOKENS_MAX: usize = 10_000;
/// Fewest bytes of a token.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Most bytes of a token.
const TOKEN_BYTES_MAX: usize = 512;
/// Most characters of a name.
const NAME_MAX: usize = 64;

/// What somebody without a token may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Look, and hand beats in: on loopback, where no tokens are set up.
    Reads,
    /// Nothing.
    Nothing,
}

/// Who may use the API.
#[derive(Clone)]
pub struct Access {
    tokens: Vec<Token>,
    anonymous: Anonymous,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} tokens, without one: {:?})", self.tokens.len(), self.anonymous)
    }
}

#[derive(Clone)]
struct Token {
    name: String,
    role: Role,
    digest: [u8; 32],
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody without a token.
    Anonymous,
    /// The holder of a token.
    Known {
        /// The name of it.
        name: String,
        /// What they may.
        role: Role,
    },
}

/// From where a server can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this machine only.
    Loopback,
    /// From others too.
    Network,
}

impl Reach {
    /// From where a server at this address can be reached.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// To be allowed to look.
    Look,
    /// To be allowed to hand in beats.
    Beat,
    /// A token of this role, or a higher one.
    Role(Role),
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Compares in the same time whatever differs.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0_u8, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

impl Access {
    /// The owner alone, by this token.
    #[must_use]
    pub fn owner(token: &str, anonymous: Anonymous) -> Self {
        let token = Token { name: "owner".into(), role: Role::Admin, digest: digest(token.as_bytes()) };
        Self { tokens: vec![token], anonymous }
    }

    /// Reads the lines of a `tokens_file`: NAME ROLE TOKEN, and comments that begin with `#`.
    ///
    /// # Errors
    /// The line, and what is wrong with it; never the token.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = token(line).map_err(|what| format!("line {}: {what}", number.saturating_add(1)))?;
            if tokens.iter().any(|known| known.digest == token.digest) {
                return Err(format!("line {}: this token stands in a line above as well", number.saturating_add(1)));
            }
            tokens.push(token);
            if tokens.len() > TOKENS_MAX {
                return Err(format!("there are more than {TOKENS_MAX} tokens"));
            }
        }
        if tokens.is_empty() {
            return Err("there is no token in it: nobody could use the API; write lines of NAME ROLE TOKEN".into());
        }
        Ok(Self { tokens, anonymous: Anonymous::Nothing })
    }

    /// Who sends a request.
    pub(crate) fn who(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let Some(given) = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes) else {
            return Ok(Caller::Anonymous);
        };
        let (scheme, token) = given.split_at_checked(7).unwrap_or((given, b""));
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(unknown("only bearer tokens are known here: `Authorization: Bearer TOKEN`"));
        }
        let token = token.trim_ascii();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(unknown("this is no token: it is too short for one"));
        }
        let shown = digest(token);
        // All of them are looked at, so that the time taken does not tell which it was.
        let found =
            self.tokens.iter().fold(None, |found, known| if same(&known.digest, &shown) { Some(known) } else { found });
        let known = found.ok_or_else(|| unknown("this token is not known here"))?;
        Ok(Caller::Known { name: known.name.clone(), role: known.role })
    }

    /// Whether somebody may use a route.
    pub(crate) fn admit(&self, caller: &Caller, needs: Needs, reach: Reach) -> Result<(), Problem> {
        let (name, role) = match (caller, needs) {
            (Caller::Known { name, role }, _) => (name, *role),
            (Caller::Anonymous, Needs::Look | Needs::Beat)
                if reach == Reach::Loopback && self.anonymous == Anonymous::Reads =>
            {
                return Ok(());
            }
            (Caller::Anonymous, _) => {
                return Err(unknown(
                    "this needs a token: `Authorization: Bearer TOKEN`, with one of the tokens_file or the \
                                    one in output_dir/api.token",
                ));
            }
        };
        let enough = match needs {
            Needs::Look => role >= Role::Developer,
            Needs::Beat => role != Role::Developer,
            Needs::Role(least) => role >= least,
        };
        if enough {
            return Ok(());
        }
        let has = word(role);
        let wanted = match needs {
            Needs::Look => "DEVELOPER or higher".to_owned(),
            Needs::Beat => "AGENT, OPERATOR or ADMIN".to_owned(),
            Needs::Role(least) => format!("{} or higher", word(least)).replace("ADMIN or higher", "ADMIN"),
        };
        let message = format!("this needs the role {wanted}; {name} is {has}");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message).field("role", wanted))
    }
}

impl Caller {
    /// Who they are for the audit, and what they may.
    pub(crate) fn person(&self) -> Person {
        match self {
            Self::Anonymous => Person { actor: "anonymous".into(), role: Role::Agent },
            Self::Known { name, role } => Person { actor: format!("token:{name}").into(), role: *role },
        }
    }

    /// Whether they may hand in beats of this agent.
    pub(crate) fn may_beat_for(&self, agent: &AgentId) -> Result<(), Problem> {
        match self {
            Self::Known { name, role: Role::Agent } if name != "*" && name != agent.as_str() => {
                let message = format!("the token of {name} is good for beats of {name} only, not of {agent}");
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message).field("agent_id", name.clone()))
            }
            Self::Known { .. } | Self::Anonymous => Ok(()),
        }
    }
}

fn unknown(message: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Agent => "AGENT",
        Role::Developer => "DEVELOPER",
        Role::Operator => "OPERATOR",
        Role::Admin => "ADMIN",
    }
}

fn token(line: &str) -> Result<Token, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, role, token] = words.as_slice() else {
        return Err(format!("it has {} words; a line is NAME ROLE TOKEN", words.len()));
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    let any = *name == "*" && role.eq_ignore_ascii_case("AGENT");
    if !any && (name.len() > NAME_MAX || !name.chars().all(good)) {
        return Err(format!(
            "a name has at most {NAME_MAX} letters, digits, `.`, `_`, `-` or `@`; `*` is for the role AGENT"
        ));
    }
    let role = [Role::Agent, Role::Developer, Role::Operator, Role::Admin]
        .into_iter()
        .find(|known| word(*known).eq_ignore_ascii_case(role))
        .ok_or("the second word is the role: AGENT, DEVELOPER, OPERATOR or ADMIN")?;
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
        return Err(format!(
            "the token has {} bytes; {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} are good (`openssl rand -hex 32` makes one)",
            token.len()
        ));
    }
    Ok(Token { name: (*name).to_owned(), role, digest: digest(token.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may\nada ADMIN 0123456789abcdef-ada\n  \nbob developer 0123456789abcdef-bob\n\
                        * AGENT 0123456789abcdef-any\nw1 AGENT 0123456789abcdef-w1\n";

    fn asks(access: &Access, authorization: Option<&'static str>, needs: Needs, reach: Reach) -> Option<u16> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        let admitted = access.who(&headers).and_then(|caller| access.admit(&caller, needs, reach));
        admitted.err().map(|problem| axum::response::IntoResponse::into_response(problem).status().as_u16())
    }

    #[test]
    fn each_role_may_what_it_is_for() {
        let access = Access::read(FILE).unwrap();
        let (ada, bob, any) = (
            Some("Bearer 0123456789abcdef-ada"),
            Some("bearer  0123456789abcdef-bob"),
            Some("Bearer 0123456789abcdef-any"),
        );
        let admin = Needs::Role(Role::Admin);
        for (who, needs, expected) in [
            (ada, admin, None),
            (ada, Needs::Look, None),
            (ada, Needs::Beat, None),
            (bob, Needs::Look, None),
            (bob, Needs::Beat, Some(403)),
            (bob, Needs::Role(Role::Operator), Some(403)),
            (any, Needs::Beat, None),
            (any, Needs::Look, Some(403)),
            (any, admin, Some(403)),
            (None, Needs::Look, Some(401)),
            (None, Needs::Beat, Some(401)),
            (None, admin, Some(401)),
            (Some("Bearer 0123456789abcdef-ad"), Needs::Look, Some(401)),
            (Some("Basic YTpi"), Needs::Look, Some(401)),
            (Some("Bearer"), Needs::Look, Some(401)),
        ] {
            assert_eq!(asks(&access, who, needs, Reach::Loopback), expected, "{who:?} {needs:?}");
        }
        let owner = Access::owner("0123456789abcdef", Anonymous::Reads);
        assert_eq!(asks(&owner, None, Needs::Look, Reach::Loopback), None);
        assert_eq!(asks(&owner, None, Needs::Look, Reach::Network), Some(401), "not beyond loopback");
        assert_eq!(asks(&owner, None, admin, Reach::Loopback), Some(401));
        assert_eq!(asks(&owner, Some("Bearer 0123456789abcdef"), admin, Reach::Network), None);
        assert_eq!(
            asks(&owner, Some("Bearer wrong"), Needs::Look, Reach::Loopback),
            Some(401),
            "a wrong token is no absent one"
        );
    }

    #[test]
    fn an_agent_beats_for_itself_or_for_all() {
        let known = |name: &str| Caller::Known { name: name.into(), role: Role::Agent };
        assert!(known("w1").may_beat_for(&"w1".into()).is_ok());
        assert!(known("w1").may_beat_for(&"w2".into()).is_err());
        assert!(known("*").may_beat_for(&"w2".into()).is_ok());
    }

    #[test]
    fn faults_of_a_file_name_their_line_and_not_the_token() {
        for (text, expected) in [
            ("", "no token"),
            ("# only\n", "no token"),
            ("ada ADMIN", "line 1: it has 2 words"),
            ("ada KING 0123456789abcdef", "line 1: the second word"),
            ("\nada ADMIN short", "line 2: the token has 5 bytes"),
            ("* ADMIN 0123456789abcdef", "line 1: a name"),
            ("a ADMIN 0123456789abcdef\nb ADMIN 0123456789abcdef", "line 2: this token"),
        ] {
            let fault = Access::read(text).unwrap_err();
            assert!(fault.contains(expected) && !fault.contains("0123456789abcdef"), "{text:?}: {fault}");
        }
    }
}
