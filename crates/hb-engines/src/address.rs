//! Addresses of servers that are asked by HTTP, taken apart strictly: what is not understood is refused, and named.

use std::path::PathBuf;

use crate::target::TargetError;

/// An address in its parts: `scheme://authority/path?key=value&…`.
#[derive(Debug)]
pub(crate) struct Address {
    /// Before `://`.
    pub(crate) scheme: String,
    /// Hosts and ports, as written.
    pub(crate) authority: String,
    /// Without slashes at either end.
    pub(crate) path: String,
    parameters: Vec<(String, String)>,
}

impl Address {
    /// Takes an address apart.
    ///
    /// # Errors
    /// What is wrong with it. The address itself is named without its parameters.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let (before, query) = text.split_once('?').map_or((text, ""), |(before, query)| (before, query));
        let wrong = |what: &str| TargetError(format!("{}: {what}", without_user(before)));
        if text.contains('#') {
            return Err(wrong("an address has no '#'; write %23"));
        }
        let (scheme, rest) = before.split_once("://").ok_or_else(|| wrong("expected SCHEME://HOST/…"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(wrong("users and passwords are not written before '@': say user= and password_file="));
        }
        let path = path.trim_matches('/');
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| wrong("each parameter is KEY=VALUE"))?;
            let value = decoded(value).ok_or_else(|| wrong(&format!("the value of {key} has a broken %-sequence")))?;
            if parameters.iter().any(|(known, _)| known == key) {
                return Err(wrong(&format!("{key} is said twice")));
            }
            parameters.push((key.to_owned(), value));
        }
        Ok(Self { scheme: scheme.to_owned(), authority: authority.to_owned(), path: path.to_owned(), parameters })
    }

    /// A parameter, taken out.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.parameters.iter().position(|(known, _)| known == key)?;
        Some(self.parameters.remove(at).1)
    }

    /// A parameter that names a file.
    pub(crate) fn take_file(&mut self, key: &str) -> Result<Option<PathBuf>, TargetError> {
        match self.take(key) {
            Some(path) if path.is_empty() => Err(TargetError(format!("{key}= names no file"))),
            other => Ok(other.map(PathBuf::from)),
        }
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// Which parameter is not known, and which are.
    pub(crate) fn done(self, known: &[&str]) -> Result<(), TargetError> {
        match self.parameters.first() {
            None => Ok(()),
            Some((key, _)) => Err(TargetError(format!(
                "{}://{}: the parameter {key} is not known; known are {}",
                self.scheme,
                self.authority,
                known.join(", ")
            ))),
        }
    }
}

/// What may be shown of an address that may have a password in it.
fn without_user(before: &str) -> String {
    let Some((scheme, rest)) = before.split_once("://") else { return "this address".into() };
    let shown = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    format!("{scheme}://{shown}")
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A host with an optional port, or why it is none. IPv6 addresses stand in brackets.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn check_host(text: &str) -> Result<(), String> {
    let wrong = || format!("{text:?} is no HOST or HOST:PORT");
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or_else(wrong)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) };
        ("v6", port)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    let sound =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let port_sound = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    if sound && port_sound { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let mut address = Address::parse("etcd://a:1,b:2/x/y/?user=me%20too&ca_file=/ca").unwrap();
        assert_eq!(
            (address.scheme.as_str(), address.authority.as_str(), address.path.as_str()),
            ("etcd", "a:1,b:2", "x/y")
        );
        assert_eq!(address.take("user").as_deref(), Some("me too"));
        assert_eq!(address.take_file("ca_file").unwrap().unwrap(), PathBuf::from("/ca"));
        address.done(&[]).unwrap();
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_password_is_repeated() {
        for (text, expected) in [
            ("a:1/x", "SCHEME"),
            ("etcd://a/x?b", "KEY=VALUE"),
            ("etcd://a/x?b=%4", "%-sequence"),
            ("etcd://a/x?b=1&b=2", "twice"),
            ("etcd://me:secret@a/x", "password_file"),
            ("etcd://a/x#y", "'#'"),
        ] {
            let said = Address::parse(text).unwrap_err().0;
            assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
        }
        let said = Address::parse("etcd://a/x?colour=red").unwrap().done(&["user", "tls"]).unwrap_err().0;
        assert!(said.contains("colour") && said.contains("user, tls"), "{said}");
    }

    #[test]
    fn hosts_are_checked() {
        for sound in ["a", "a.b-c:2379", "127.0.0.1:1", "[::1]:2379", "[::1]"] {
            assert_eq!(check_host(sound), Ok(()), "{sound}");
        }
        for bad in ["", ":1", "a:", "a:0", "a:99999", "a b", "::1", "[::1", "[::1]x", "a/b"] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
    }
}
