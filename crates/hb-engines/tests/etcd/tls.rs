//! TLS to etcd, with certificates of the server and of the client.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hb_engines::etcd::{EtcdRegister, EtcdTarget};
use hb_engines::target::Manner;
use hb_store::register::{Register, Swapped, Woken};

use crate::server::Etcd;

/// Has `openssl` make something in a folder; false where there is none.
fn openssl(folder: &Path, arguments: &str) -> bool {
    let made = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

/// A root, and certificates for a server and a client; false where there is no `openssl`.
fn certificates(folder: &Path) -> bool {
    let root = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=root -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE";
    if !openssl(folder, root) {
        eprintln!("NOT RUN: openssl is missing or too old (apt-get install openssl)");
        return false;
    }
    for (name, more) in [
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ] {
        // Without a common name: etcd takes none on its gateway.
        assert!(openssl(
            folder,
            &format!("req -newkey rsa:2048 -nodes -subj /O={name} -keyout {name}.key -out {name}.csr")
        ));
        std::fs::write(folder.join(format!("{name}.ext")), more).unwrap();
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        );
        assert!(openssl(folder, &sign));
    }
    true
}

#[test]
fn certificates_are_checked_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let options = ["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &cert, "--key-file", &key];
    let Some(etcd) = Etcd::start_with_tls(&options) else { return };
    let open = |parameters: String| {
        let url = format!("etcds://127.0.0.1:{}/tls?{parameters}", etcd.port(0));
        EtcdRegister::open(&EtcdTarget::parse(&url).unwrap(), Manner { patience: Duration::from_secs(5) }).unwrap()
    };
    let known = format!("cert_file={}&key_file={}", file("client.pem"), file("client.key"));
    let mut register = open(format!("ca_file={ca}&{known}"));
    // It listens a moment before it has a leader.
    let first = (0..200).find_map(|_| match register.swap("a", None, b"1") {
        Swapped::Done(version) => Some(version),
        Swapped::Lost(cell) => cell.map(|cell| cell.version),
        Swapped::Unknown(_) | Swapped::Failed(_) => {
            std::thread::sleep(Duration::from_millis(50));
            None
        }
    });
    let first = first.expect("whoever shows a certificate is let in");
    assert_eq!(register.wait("a", Some(&first), Duration::from_millis(300)), Ok(Woken::Patience));
    let unknown = open(format!("ca_file={ca}")).read("a").unwrap_err().0;
    assert!(unknown.to_lowercase().contains("certificate"), "{unknown}");
    let distrusted = open(known).swap("b", None, b"1");
    assert!(matches!(&distrusted, Swapped::Failed(what) if what.contains("certificate")), "{distrusted:?}");
}
