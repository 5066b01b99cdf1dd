//! A real broker of its own for a test: mosquitto, on a free port of the loopback, with its state in a folder of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, PublishOptions, QoS};

/// How long a broker may take to start, to take messages, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running broker. It ends with the value.
pub(crate) struct Mosquitto {
    folder: PathBuf,
    /// Where it listens.
    pub(crate) port: u16,
    child: Option<Child>,
}

/// Where the program is; none where it is not installed. In CI that is a failure, elsewhere it is told.
pub(crate) fn program() -> Option<PathBuf> {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("mosquitto"))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "mosquitto is missing: apt-get install mosquitto");
        eprintln!("NOT RUN: mosquitto is missing (apt-get install mosquitto, or run `cargo xtask test` as root)");
    }
    found
}

impl Mosquitto {
    /// Starts one; none where there is no such program.
    pub(crate) fn start(folder: &Path, settings: &str) -> Option<Self> {
        let program = program()?;
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let listener = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
            let kept = format!("persistence true\npersistence_location {}/\n", folder.display());
            // As root it would take on another user, who cannot write here.
            let rest = "user root\nlog_type none\nmax_queued_messages 200000\n";
            std::fs::write(folder.join("mosquitto.conf"), format!("{listener}{kept}{rest}{settings}")).unwrap();
            let mut broker = Self { folder: folder.to_owned(), port, child: None };
            if broker.run(&program) {
                return Some(broker);
            }
        }
        panic!("no port for mosquitto");
    }

    fn run(&mut self, program: &Path) -> bool {
        let mut child = Command::new(program)
            .arg("-c")
            .arg(self.folder.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen");
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        true
    }

    /// Ends it; it writes down what it keeps.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn again(&mut self) {
        assert!(self.run(&program().unwrap()), "mosquitto does not start again");
    }

    /// Publishes, and comes back when the broker has taken everything.
    pub(crate) fn publish(&self, messages: impl IntoIterator<Item = (String, String)>) {
        self.publish_paced(messages, Duration::ZERO);
    }

    /// The same with a pause after each message.
    pub(crate) fn publish_paced(&self, messages: impl IntoIterator<Item = (String, String)>, pause: Duration) {
        let messages: Vec<_> = messages.into_iter().collect();
        let count = messages.len();
        let id = format!("publisher-{}-{:?}", std::process::id(), thread::current().id());
        let mut options = MqttOptions::new(id, ("127.0.0.1", self.port));
        options.set_keep_alive(60);
        let (client, mut connection) = Client::builder(options).capacity(count + 1).build();
        let publisher = thread::spawn(move || {
            for (topic, payload) in messages {
                client.publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce)).unwrap();
                thread::sleep(pause);
            }
            client
        });
        let until = Instant::now() + PATIENCE;
        let mut taken = 0;
        while taken < count {
            assert!(Instant::now() < until, "the broker took {taken} of {count} messages");
            if let Ok(Event::Incoming(Packet::PubAck(_))) = connection.recv().unwrap() {
                taken += 1;
            }
        }
        drop(publisher.join().unwrap());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}
