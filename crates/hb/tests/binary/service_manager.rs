//! What a service manager is told: ready, what the node is, that its loops turn, and that it stops.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::node::Node;
use crate::support::project::Project;
use crate::support::telemetry;

#[test]
fn a_service_manager_hears_ready_status_watchdog_and_stopping() {
    let project = Project::new(telemetry::SETTINGS);
    let path = project.dir().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = project.command(&["daemon", "--listen", "none"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let mut node = Node::launch(&project, "a", command);
    let hear = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted} was not heard: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    hear("READY=1");
    hear("STATUS=active");
    for _ in 0..3 {
        hear("WATCHDOG=1");
    }
    // It is read on while it stops: a full socket must not hold it up.
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| hear("STOPPING=1"));
        assert_eq!(node.stop(), 0);
        stopping.join().unwrap();
    });
}
