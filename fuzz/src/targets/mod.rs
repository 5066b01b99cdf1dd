//! All targets; a reader that is added gets a line here, and a folder of seeds.

pub mod addresses;
pub mod api;
pub mod baseline;
pub mod checkpoint;
pub mod config;
pub mod engine_answers;
pub mod expression;
pub mod import;
pub mod inject;
pub mod lease;
pub mod lines;
pub mod message;
pub mod names;
pub mod notify;
pub mod policy;
pub mod record;
pub mod rows;
pub mod stamp;
pub mod supervisor_records;
pub mod sync_frames;
pub mod syslog_stream;
pub mod table;
pub mod tokens;
pub mod watch_records;

use crate::Target;

/// Every target.
pub const ALL: &[Target] = &[
    Target {
        name: "addresses",
        about: "addresses of databases, buckets, clusters, brokers and nodes",
        run: addresses::run,
    },
    Target { name: "api", about: "requests to /api/v1: paths, queries, headers, bodies, beats", run: api::run },
    Target { name: "baseline", about: "documents of baselines", run: baseline::run },
    Target { name: "checkpoint", about: "checkpoint, note of a copy, card of a node", run: checkpoint::run },
    Target { name: "config", about: "hb.yaml and registries of metrics", run: config::run },
    Target {
        name: "engine_answers",
        about: "answers of etcd and Kubernetes, Retry-After, /proc/PID/stat",
        run: engine_answers::run,
    },
    Target { name: "expression", about: "the expression of a policy", run: expression::run },
    Target { name: "import", about: "Procfile and supervisord.conf", run: import::run },
    Target { name: "inject", about: "recordings that faults are put into", run: inject::run },
    Target { name: "lease", about: "leases, stamps, orders, cells of registers", run: lease::run },
    Target { name: "lines", about: "telemetry: JSON lines, CSV, wide CSV, syslog, requests", run: lines::run },
    Target { name: "message", about: "payloads of MQTT under their topics", run: message::run },
    Target { name: "names", about: "names of records, streams and cells", run: names::run },
    Target { name: "notify", about: "messages of sd_notify", run: notify::run },
    Target { name: "policy", about: "policies as documents, and their simulation", run: policy::run },
    Target { name: "record", about: "records of the journal, byte for byte", run: record::run },
    Target { name: "rows", about: "rows of supervisor.db", run: rows::run },
    Target { name: "stamp", about: "times, units, hashes as text", run: stamp::run },
    Target {
        name: "supervisor_records",
        about: "what records of a supervisor add up to",
        run: supervisor_records::run,
    },
    Target { name: "sync_frames", about: "pages of records between nodes", run: sync_frames::run },
    Target { name: "syslog_stream", about: "syslog over TCP, cut into messages", run: syslog_stream::run },
    Target { name: "table", about: "workbooks, arrays, channels, engines", run: table::run },
    Target { name: "tokens", about: "files of tokens", run: tokens::run },
    Target { name: "watch_records", about: "what records of a watch add up to", run: watch_records::run },
];
