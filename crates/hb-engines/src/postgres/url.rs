//! The address of a database: `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST2…]/DATABASE?PARAMETER=VALUE&…`, read strictly.

use std::path::PathBuf;

use hb_tls::Identity;

use super::password::Secret;
use super::target::{Host, PostgresTarget, TlsMode};
use crate::target::{Manner, TargetError};

/// Port where none is named.
const PORT: u16 = 5432;
/// Most hosts of an address.
const HOSTS_MAX: usize = 8;
/// Every parameter, for messages.
const PARAMETERS: &str = "schema, sslmode, ca_file, cert_file, key_file, password_file, host, application_name";

/// What stands in an address, before it is put together.
#[derive(Default)]
struct Parameters {
    schema: Option<String>,
    sslmode: Option<String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    host: Option<PathBuf>,
    application_name: Option<String>,
}

/// Reads an address.
pub(super) fn parse(url: &str, manner: Manner) -> Result<PostgresTarget, TargetError> {
    parse_parts(url, manner).map_err(|what| {
        TargetError(format!(
            "{}: {what}; expected postgres://USER@HOST[:PORT]/DATABASE[?schema=hb&sslmode=…]",
            hidden(url)
        ))
    })
}

fn parse_parts(url: &str, manner: Manner) -> Result<PostgresTarget, String> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or("the address does not begin with postgres://")?;
    if rest.contains('#') {
        return Err("'#' has to be written as %23".into());
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').ok_or("no database is named")?;
    let (login, hosts) = authority.rsplit_once('@').ok_or("no user is named")?;
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(decoded(password)?))),
        None => (login, None),
    };
    let (user, database) = (decoded(user)?, decoded(path)?);
    if user.is_empty() || database.is_empty() || database.contains('/') {
        return Err("user and database have to be named".into());
    }
    let found = parameters(query)?;
    let hosts = all_hosts(hosts, found.host)?;
    let tls = tls_mode(found.sslmode.as_deref(), &hosts)?;
    let schema = found.schema.unwrap_or_else(|| "hb".into());
    check_schema(&schema)?;
    let identity = match (found.cert_file, found.key_file) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (_, _) => return Err("cert_file and key_file go together".into()),
    };
    if tls == TlsMode::Disable && (found.ca_file.is_some() || identity.is_some()) {
        return Err("certificates are named, but TLS is not used (sslmode=disable, or a socket in a folder)".into());
    }
    Ok(PostgresTarget {
        hosts,
        user,
        database,
        schema,
        tls,
        ca_file: found.ca_file,
        identity,
        password,
        password_file: found.password_file,
        application: found.application_name.unwrap_or_else(|| "hb".into()),
        manner,
    })
}

fn parameters(query: &str) -> Result<Parameters, String> {
    let mut found = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("parameter {pair:?} has no value"))?;
        let value = decoded(value)?;
        if value.is_empty() {
            return Err(format!("parameter {name} has no value"));
        }
        let file = || Some(PathBuf::from(&value));
        let before = match name {
            "schema" => found.schema.replace(value).is_some(),
            "sslmode" => found.sslmode.replace(value).is_some(),
            "application_name" => found.application_name.replace(value).is_some(),
            "ca_file" => std::mem::replace(&mut found.ca_file, file()).is_some(),
            "cert_file" => std::mem::replace(&mut found.cert_file, file()).is_some(),
            "key_file" => std::mem::replace(&mut found.key_file, file()).is_some(),
            "password_file" => std::mem::replace(&mut found.password_file, file()).is_some(),
            "host" => std::mem::replace(&mut found.host, file()).is_some(),
            _ => return Err(format!("there is no parameter {name:?}, only {PARAMETERS}")),
        };
        if before {
            return Err(format!("parameter {name} stands there twice"));
        }
    }
    Ok(found)
}

fn all_hosts(list: &str, folder: Option<PathBuf>) -> Result<Vec<Host>, String> {
    if let Some(folder) = folder {
        if !folder.is_absolute() {
            return Err("host= names the folder of the server's socket, from the root on".into());
        }
        let port = match list.strip_prefix(':') {
            Some(port) => port_of(port)?,
            None if list.is_empty() => PORT,
            None => return Err("a host is named before the database and another one by host=".into()),
        };
        return Ok(vec![Host::Socket { folder, port }]);
    }
    let hosts = list.split(',').map(one_host).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > HOSTS_MAX {
        return Err(format!("{} hosts are named, at most {HOSTS_MAX} are allowed", hosts.len()));
    }
    Ok(hosts)
}

fn one_host(text: &str) -> Result<Host, String> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or_else(|| format!("'[' without ']' in {text:?}"))?;
        name.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{name:?} is no IPv6 address"))?;
        (name, rest.strip_prefix(':'))
    } else {
        text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)))
    };
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if name.is_empty() || !name.bytes().all(sound) {
        return Err(format!("{name:?} is no host"));
    }
    Ok(Host::Tcp { name: name.to_owned(), port: port.map_or(Ok(PORT), port_of)? })
}

fn port_of(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{text:?} is no port"))
}

fn tls_mode(named: Option<&str>, hosts: &[Host]) -> Result<TlsMode, String> {
    let local = hosts.iter().all(|host| matches!(host, Host::Socket { .. }));
    match named {
        None if local => Ok(TlsMode::Disable),
        None => Ok(TlsMode::Require),
        Some("disable") => Ok(TlsMode::Disable),
        Some(_) if local => Err("a socket in a folder knows no TLS: leave sslmode away".into()),
        Some("prefer") => Ok(TlsMode::Prefer),
        Some("require" | "verify-ca" | "verify-full") => Ok(TlsMode::Require),
        Some(other) => Err(format!(
            "sslmode={other} is not one of disable, prefer, require, verify-ca, verify-full \
             (with TLS, the server's certificate and name are always checked)"
        )),
    }
}

/// Names that need no thought about quoting and case.
fn check_schema(name: &str) -> Result<(), String> {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= 48 && name.bytes().all(sound) && !name.starts_with("pg_") {
        return Ok(());
    }
    Err(format!("schema={name}: a letter, then letters, digits and '_', all lower case, at most 48, not pg_…"))
}

/// Undoes `%XX`.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or("'%' is not followed by two hex digits")?;
        let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("'%' is not followed by two hex digits")?);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    if text.contains('\0') { Err("a zero byte stands in it".into()) } else { Ok(text) }
}

/// What may be shown of an address that could not be read: nothing that may be a password, wherever it was put.
fn hidden(url: &str) -> String {
    let from = url.find("://").map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = url.split_at(from);
    // Parameters may be meant as secrets; a '?' before the last '@' may be a part of a password.
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) if place.contains('@') || !query.contains('@') => (place, "?…"),
        Some(_) | None => (rest, ""),
    };
    let shown = match place.rsplit_once('@') {
        // Up to the last '@': whatever a password is made of, nothing of it may be seen.
        Some((login, after)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:…@{after}"),
            None => place.to_owned(),
        },
        // A host with its port, or a user with a password.
        None => match place.split_once(':') {
            Some((name, port)) if !port.bytes().take_while(|byte| *byte != b'/').all(|byte| byte.is_ascii_digit()) => {
                format!("{name}:…")
            }
            Some(_) | None => place.to_owned(),
        },
    };
    format!("{scheme}{shown}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PostgresTarget, String> {
        parse(url, Manner::default()).map_err(|error| error.0)
    }

    #[test]
    fn an_address_is_read_in_all_its_parts() {
        let target = read(
            "postgresql://h%62:p%40ss@db1:6000,[::1],db2/ops?schema=hb_2&sslmode=verify-full&ca_file=/a/ca.pem\
             &cert_file=/a/c.pem&key_file=/a/k.pem&application_name=n%201",
        )
        .unwrap();
        let tcp = |name: &str, port| Host::Tcp { name: name.into(), port };
        assert_eq!(target.hosts, [tcp("db1", 6000), tcp("::1", 5432), tcp("db2", 5432)]);
        assert_eq!((target.user.as_str(), target.database.as_str()), ("hb", "ops"));
        assert_eq!(
            (target.schema.as_str(), target.tls, target.application.as_str()),
            ("hb_2", TlsMode::Require, "n 1")
        );
        assert_eq!(target.password.as_ref().map(Secret::text), Some("p@ss"));
        assert_eq!(target.ca_file, Some(PathBuf::from("/a/ca.pem")));
        assert!(target.identity.is_some());
        let shown = format!("{target} {target:?}");
        assert!(!shown.contains("p@ss") && !shown.contains("p%40ss") && shown.contains("db2:5432"), "{shown}");
    }

    #[test]
    fn what_is_left_away_has_safe_values() {
        let target = read("postgres://a@db/x").unwrap();
        assert_eq!((target.schema.as_str(), target.tls), ("hb", TlsMode::Require));
        let local = read("postgres://a@/x?host=/run/postgresql").unwrap();
        assert_eq!(local.hosts, [Host::Socket { folder: "/run/postgresql".into(), port: 5432 }]);
        assert_eq!(local.tls, TlsMode::Disable);
        let other = read("postgres://a@:5433/x?host=%2Frun%2Fpg").unwrap();
        assert_eq!(other.hosts, [Host::Socket { folder: "/run/pg".into(), port: 5433 }]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_named() {
        for (url, said) in [
            ("mysql://a@b/c", "does not begin with"),
            ("postgres://b/c", "no user"),
            ("postgres://a@b", "no database"),
            ("postgres://a@b/", "user and database"),
            ("postgres://@b/c", "user and database"),
            ("postgres://a@/c", "is no host"),
            ("postgres://a@b:0/c", "no port"),
            ("postgres://a@b:x/c", "no port"),
            ("postgres://a@b/c?connect_timeout=3", "no parameter \"connect_timeout\""),
            ("postgres://a@b/c?schema=Hb", "schema=Hb"),
            ("postgres://a@b/c?schema=hb\"; drop", "schema="),
            ("postgres://a@b/c?schema=hb&schema=hc", "twice"),
            ("postgres://a@b/c?schema=", "no value"),
            ("postgres://a@b/c?sslmode=allow", "sslmode=allow"),
            ("postgres://a@b/c?cert_file=/a", "go together"),
            ("postgres://a@b/c?sslmode=disable&ca_file=/a", "TLS is not used"),
            ("postgres://a@b/c?host=/run", "another one by host="),
            ("postgres://a@/c?host=run", "from the root"),
            ("postgres://a%zz@b/c", "hex digits"),
            ("postgres://a%4@b/c", "hex digits"),
            ("postgres://a@[::1/c", "without ']'"),
            ("postgres://a@b/c#d", "%23"),
        ] {
            let told = read(url).unwrap_err();
            assert!(told.contains(said), "{url}: {told}");
        }
    }

    #[test]
    fn a_password_is_not_told_even_of_an_address_that_cannot_be_read() {
        for url in ["postgres://a:geheim@b:x/c", "postgres://a:ge@heim@b/c?x=1", "postgres://a:geheim@b"] {
            let told = read(url).unwrap_err();
            assert!(!told.contains("geheim") && !told.contains("heim@"), "{told}");
        }
        for url in [
            "postgres://a@b/c?password=geheim",
            "postgres://a@b/c?x=1&password=ge@geheim",
            "postgres://b/c?user=a&password=geheim",
            "postgres://a:geheim",
            "postgres://a:geheim/c",
            "postgres://a:x?geheim@b/c?schema=1",
            "postgres://a:x/geheim@b/c",
        ] {
            let told = read(url).unwrap_err();
            assert!(!told.contains("geheim"), "{url}: {told}");
        }
        assert!(read("postgres://b:5433/c").unwrap_err().starts_with("postgres://b:5433/c: "));
    }
}
