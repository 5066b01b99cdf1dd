//! Those who come from elsewhere: the file that is made runs, and what it cannot say is told.

use super::site::Site;

const SUPERVISORD: &str = r#"; as it stands on many a machine
[unix_http_server]
file=/var/run/supervisor.sock   ; (the path to the socket file)

[supervisord]
logfile=/var/log/supervisor/supervisord.log
environment=STAGE="test"

[program:worker]
command=/bin/sh -c "echo %(program_name)s-%(process_num)d-$STAGE; exec sleep 1000"
process_name=%(program_name)s_%(process_num)02d
numprocs=2
directory=%(here)s
autorestart=unexpected
startretries=5
stopsignal=QUIT
stopwaitsecs=7
environment=WORKER="yes: it's \"one\"",PORT="80%(process_num)02d"
stdout_logfile=/var/log/worker.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=2
priority=10

[group:all]
programs=worker,later

[include]
files = conf.d/*.conf
"#;

#[test]
fn what_supervisord_runs_is_run_by_the_file_that_is_made() {
    let mut site = Site::new("");
    site.file("supervisord.conf", &SUPERVISORD.replace("yes: it's \\\"one\\\"", "yes: it's one"));
    std::fs::create_dir(site.path().join("conf.d")).unwrap();
    site.file("conf.d/later.conf", "[program:later]\ncommand=sleep 1000\nautostart=false\numask=022\n");
    std::fs::remove_file(site.path().join("hb.yaml")).unwrap();
    let ran = site.ok(&["import", "supervisord", "supervisord.conf", "--out", "hb.yaml"]);
    assert!(ran.out.contains("sound, 3 agents, 1 teams"), "{}", ran.out);
    for told in [
        "supervisord.conf:2: lost: [unix_http_server]",
        "supervisord.conf:22: lost: priority",
        "later.conf:4: lost: umask",
    ] {
        assert!(ran.err.contains(told), "{told} in\n{}", ran.err);
    }
    let made = std::fs::read_to_string(site.path().join("hb.yaml")).unwrap();
    assert!(made.contains("#   supervisord.conf:2: LOST: [unix_http_server]"), "notes stand in the file too:\n{made}");
    assert_eq!(site.ok(&["config", "check", "hb.yaml"]).code, 0);
    assert_eq!(site.hb(&["import", "supervisord", "supervisord.conf", "--out", "hb.yaml"]).code, 73, "not overwritten");
    let json = site.ok(&["import", "supervisord", "supervisord.conf", "--json"]).document();
    assert_eq!((json["agents"].as_array().unwrap().len(), &json["teams"][0]["name"]), (3, &"all".into()));

    site.node("n1", &["supervisor", "--config", "hb.yaml"]);
    let worker = site.stands("worker_01", "RUNNING");
    assert_eq!(worker["spec"]["process"]["env"]["PORT"], "8001");
    assert_eq!(worker["spec"]["process"]["env"]["WORKER"], "yes: it's one");
    assert_eq!((&worker["team_id"], &worker["spec"]["process"]["stop"]["grace_sec"]), (&"all".into(), &7.0.into()));
    assert_eq!(site.agent("later")["wanted"], "down");
    super::site::until("its output is there", || {
        site.hb(&["agent", "logs", "worker_01"]).out.contains("worker-1-test").then_some(())
    });
}

#[test]
fn a_procfile_becomes_agents() {
    let site = Site::new("");
    site.file("Procfile", "web: exec puma -p $PORT\nworker: bin/worker --queue 'a b'\n");
    site.file(".env", "A=1\n");
    let ran = site.ok(&["import", "procfile", "Procfile"]);
    assert!(ran.out.contains("command: [bin/worker, \"--queue\", \"a b\"]"), "{}", ran.out);
    assert!(ran.out.contains("command: [sh, \"-c\", \"exec puma -p $PORT\"]"), "{}", ran.out);
    assert!(ran.err.contains("PORT is 5000") && ran.err.contains(".env:0: lost"), "{}", ran.err);
    site.file("made.yaml", &ran.out);
    assert_eq!(site.ok(&["config", "check", "made.yaml"]).code, 0);
    site.file("Procfile", "web exec puma\n");
    let ran = site.hb(&["import", "procfile", "Procfile"]);
    assert!(ran.code == 2 && ran.err.contains("Procfile:1:"), "{}", ran.err);
    site.file("empty.conf", "[supervisord]\nnodaemon=true\n");
    assert_eq!(site.hb(&["import", "supervisord", "empty.conf"]).code, 2);
    assert_eq!(site.hb(&["import", "supervisord", "absent.conf"]).code, 2);
}
