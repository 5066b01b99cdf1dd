//! Where a broker is: `host:port`, or `mqtt://user@host:port?password_file=…`.
//!
//! What is secret is never written into the configuration: a password stands in a file, or in the environment.

use std::path::PathBuf;

use thiserror::Error;

/// The port of MQTT without TLS.
const PORT_PLAIN: u16 = 1883;
/// The port of MQTT with TLS.
const PORT_TLS: u16 = 8883;
/// Longest client id that every broker takes, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// Whether the way to the broker is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// As it is.
    Plain,
    /// TLS; the broker's certificate is checked.
    Tls,
}

/// A broker and how to speak with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// With or without TLS.
    pub wire: Wire,
    /// Name to log in with.
    pub user: Option<String>,
    /// File whose first line is the password; where there is none, the environment is asked ([`PASSWORD_VARIABLE`]).
    pub password_file: Option<PathBuf>,
    /// File with the certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Name of the session at the broker, where the one made of the watch's name is not wanted.
    pub client_id: Option<String>,
}

/// The environment's variable with the password.
pub const PASSWORD_VARIABLE: &str = "HB_MQTT_PASSWORD";

/// Why a text names no broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadBroker {
    /// Another scheme.
    #[error("`{0}` is none of mqtt, tcp, mqtts, ssl")]
    Scheme(String),
    /// No host.
    #[error("there is no host")]
    NoHost,
    /// No number, or 0.
    #[error("`{0}` is no port")]
    Port(String),
    /// A password for all to read.
    #[error("a password stands in the address")]
    Password,
    /// Another parameter.
    #[error("there is no parameter `{0}`; there are password_file, ca_file, client_id")]
    Parameter(String),
    /// A path, or characters that no address has.
    #[error("`{0}` is no part of an address")]
    Rest(String),
}

impl Broker {
    /// Reads `HOST[:PORT]` or `SCHEME://[USER@]HOST[:PORT][?PARAMETER=VALUE&…]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadBroker> {
        let (wire, rest) = match text.split_once("://") {
            None | Some(("mqtt" | "tcp", _)) => (Wire::Plain, text.split_once("://").map_or(text, |(_, rest)| rest)),
            Some(("mqtts" | "ssl", rest)) => (Wire::Tls, rest),
            Some((other, _)) => return Err(BadBroker::Scheme(other.to_owned())),
        };
        let (address, parameters) = rest.split_once('?').map_or((rest, ""), |(address, more)| (address, more));
        let (user, place) = match address.rsplit_once('@') {
            None => (None, address),
            Some((user, _)) if user.contains(':') => return Err(BadBroker::Password),
            Some((user, place)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), place),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(|c: char| c == '/' || c == '#' || c.is_whitespace() || c.is_control()) {
            return Err(BadBroker::Rest(place.to_owned()));
        }
        let usual = if wire == Wire::Tls { PORT_TLS } else { PORT_PLAIN };
        let (host, port) = host_and_port(place, usual)?;
        let broker = Self { host, port, wire, user, password_file: None, ca_file: None, client_id: None };
        parameters.split('&').filter(|pair| !pair.is_empty()).try_fold(broker, Self::with)
    }

    fn with(mut self, pair: &str) -> Result<Self, BadBroker> {
        match pair.split_once('=') {
            Some(("password_file", path)) if !path.is_empty() => self.password_file = Some(path.into()),
            Some(("ca_file", path)) if !path.is_empty() => self.ca_file = Some(path.into()),
            Some(("client_id", id)) if !id.is_empty() && id.len() <= CLIENT_ID_BYTES_MAX => {
                self.client_id = Some(id.to_owned());
            }
            _ => return Err(BadBroker::Parameter(pair.to_owned())),
        }
        Ok(self)
    }

    /// `host:port`, for people.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// `host`, `host:port`, `[::1]:port`.
fn host_and_port(place: &str, usual: u16) -> Result<(String, u16), BadBroker> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(BadBroker::NoHost);
    }
    let port = match port {
        None => usual,
        Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| BadBroker::Port(text.to_owned()))?,
    };
    Ok((host.to_owned(), port))
}

/// Whether a text is a filter of topics: `+` stands for a whole level, `#` for all that follow, at the end.
#[must_use]
pub fn is_filter(topic: &str) -> bool {
    let levels: Vec<&str> = topic.split('/').collect();
    let last = levels.len().saturating_sub(1);
    let sound = |(at, level): (usize, &&str)| match *level {
        "#" => at == last,
        "+" => true,
        level => !level.contains(['#', '+', '\0']),
    };
    !topic.is_empty() && topic.len() <= 65_535 && levels.iter().enumerate().all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers() {
        let plain = Broker::parse("localhost:1883").unwrap();
        assert_eq!((plain.place().as_str(), plain.wire), ("localhost:1883", Wire::Plain));
        assert_eq!(Broker::parse("tcp://localhost:1883").unwrap(), plain);
        assert_eq!(Broker::parse("mqtt://localhost").unwrap(), plain);
        assert_eq!(Broker::parse("[::1]:7").unwrap().place(), "::1:7");
        let all = Broker::parse("mqtts://hb@b.example?password_file=/run/p&ca_file=/ca.pem&client_id=x").unwrap();
        assert_eq!((all.port, all.wire, all.user.as_deref()), (8883, Wire::Tls, Some("hb")));
        assert_eq!(all.password_file, Some("/run/p".into()));
        assert_eq!((all.ca_file, all.client_id.as_deref()), (Some("/ca.pem".into()), Some("x")));
    }

    #[test]
    fn what_is_no_broker_is_told_why() {
        for (text, why) in [
            ("http://x", "`http` is none of mqtt, tcp, mqtts, ssl"),
            ("", "there is no host"),
            (":1883", "there is no host"),
            ("x:0", "`0` is no port"),
            ("x:port", "`port` is no port"),
            ("mqtt://a:b@x", "a password stands in the address"),
            ("mqtt://x/topic", "`x/topic` is no part of an address"),
            ("x?qos=1", "there is no parameter `qos=1`; there are password_file, ca_file, client_id"),
        ] {
            assert_eq!(Broker::parse(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn filters_of_topics() {
        for good in ["a", "a/b", "hb/metrics/#", "#", "+", "a/+/c", "/a", "a//b"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a#", "a/#/b", "a+/b", "a\0"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
