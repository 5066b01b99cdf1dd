//! TLS: who is believed, and what is said of who is not.

use std::path::Path;
use std::process::{Command, Stdio};

use hb_engines::postgres::PostgresJournal;
use hb_store::port::Journal;

use crate::server::{Server, target};

/// Certificates for `127.0.0.1` and `localhost`, in a folder; whether they could be made.
fn certificates(folder: &Path) -> bool {
    let script = r#"set -e; cd "$1"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other -keyout other.key -out other.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout server.key -out server.csr
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > extra
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extra -out server.pem
        chmod 644 server.pem; chmod 600 server.key"#;
    let made =
        Command::new("sh").args(["-c", script, "certificates"]).arg(folder).stdin(Stdio::null()).output().unwrap();
    if !made.status.success() {
        eprintln!("NOT RUN: no certificates can be made: {}", String::from_utf8_lossy(&made.stderr));
    }
    made.status.success()
}

#[test]
fn a_server_is_believed_by_its_certificate_alone() {
    let Some(server) = Server::start("") else { return };
    let folder = server.folder();
    if !certificates(folder) {
        return;
    }
    server.own("server.key");
    let set = |name: &str, value: &str| server.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
    set("ssl_cert_file", &folder.join("server.pem").display().to_string());
    set("ssl_key_file", &folder.join("server.key").display().to_string());
    set("ssl", "on");
    server.end(nix::sys::signal::Signal::SIGINT);
    assert!(server.run(), "{}", server.log());
    server.sql("postgres", "GRANT CREATE ON DATABASE ops TO secretive");
    let port = server.port;
    let url = |host: &str, ca: &str| {
        let ca = folder.join(ca);
        format!("postgres://secretive:open%20sesame@{host}:{port}/ops?ca_file={}", ca.display())
    };
    // With a password and TLS: each end proves that the other one is who it speaks with.
    let mut journal = PostgresJournal::open(&target(&url("127.0.0.1", "ca.pem"))).unwrap();
    assert_eq!(journal.head(&"watch/a".into()), Ok(None));
    server_says_tls(&server);
    for (host, ca) in [("127.0.0.1", "other.pem"), ("localhost", "ca.pem")] {
        let told = PostgresJournal::open(&target(&url(host, ca))).map(drop).unwrap_err().0;
        assert!(told.contains("certificate") && told.contains("ca_file") && !told.contains("sesame"), "{told}");
    }
    let prefer = format!("{}&sslmode=prefer", url("127.0.0.1", "other.pem"));
    let told = PostgresJournal::open(&target(&prefer)).map(drop).unwrap_err().0;
    assert!(told.contains("certificate"), "what is offered is checked: {told}");
}

fn server_says_tls(server: &Server) {
    let count =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'secretive' AND ssl";
    assert_eq!(server.sql("ops", count), "1");
}
