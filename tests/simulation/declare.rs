//! Declarations for tests: a plain service of each sort, to be changed as the test needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use baudbot::id::{GroupName, ProjectName, ServiceName};
use baudbot::manifest::model::{
    Cleanup, Command, Condition, Dependency, Environment, Exit, Group, Health, HealthAction, Hooks,
    Kind, Log, Manifest, OnSupervisorLoss, Policy, Probe, Ready, Restart, Service, Signal, Stop,
    TmuxServer, When,
};

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

pub(crate) fn group(text: &str) -> GroupName {
    GroupName::new(text).expect("a name")
}

/// A process that is ready once started and is restarted after a second, ten times at most.
pub(crate) fn process(text: &str) -> Service {
    Service {
        name: name(text),
        description: None,
        kind: Kind::Process,
        command: Command::Exec(vec![format!("/bin/{text}")]),
        working_dir: PathBuf::from("/"),
        umask: None,
        user: None,
        limits: BTreeMap::new(),
        env_required: Vec::new(),
        env: Environment::default(),
        groups: Vec::new(),
        depends_on: IndexMap::new(),
        when: When::default(),
        ports: Vec::new(),
        ready: None,
        settle: Duration::ZERO,
        exports: IndexMap::new(),
        references: Vec::new(),
        health: None,
        restart: Restart {
            policy: Policy::OnFailure,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.0,
            stable_after: Duration::from_secs(60),
            max_failures: Some(10),
            no_retry_exit: Vec::new(),
        },
        hooks: Hooks::default(),
        stop: Stop {
            command: None,
            signal: Signal(15),
            timeout: Duration::from_secs(10),
        },
        success_exit: vec![Exit::Code(0)],
        cleanup: Cleanup::Pgid,
        legacy_sessions: Vec::new(),
        on_supervisor_loss: OnSupervisorLoss::Adopt,
        log: Log {
            max_size: 10 << 20,
            keep: 5,
        },
        instance: None,
        missing: Vec::new(),
    }
}

/// A task that is not restarted.
pub(crate) fn task(text: &str) -> Service {
    let mut service = process(text);
    service.kind = Kind::Task;
    service.restart.policy = Policy::Never;
    service
}

/// A process with a readiness probe that has 30 s.
pub(crate) fn probed(text: &str) -> Service {
    Service {
        ready: Some(Ready {
            probe: Probe::Tcp {
                host: "127.0.0.1".into(),
                port: 7890,
            },
            interval: Duration::from_secs(1),
            timeout: Some(Duration::from_secs(30)),
        }),
        ..process(text)
    }
}

/// With health checks, of which three in a row must fail.
pub(crate) fn checked(service: Service, action: HealthAction) -> Service {
    Service {
        health: Some(Health {
            probe: Probe::Tcp {
                host: "127.0.0.1".into(),
                port: 7890,
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            failures: 3,
            action,
        }),
        ..service
    }
}

pub(crate) fn needs(mut service: Service, dependency: &str, condition: Condition) -> Service {
    service
        .depends_on
        .insert(name(dependency), Dependency::on(condition));
    service
}

pub(crate) fn in_group(mut service: Service, text: &str) -> Service {
    service.groups.push(group(text));
    service
}

/// The services in this order; the groups that they name.
pub(crate) fn manifest(services: impl IntoIterator<Item = Service>) -> Manifest {
    let services: IndexMap<ServiceName, Service> = services
        .into_iter()
        .map(|service| (service.name.clone(), service))
        .collect();
    let groups = services
        .values()
        .flat_map(|service| &service.groups)
        .map(|name| {
            let group = Group {
                name: name.clone(),
                description: None,
                cleanup: None,
            };
            (name.clone(), group)
        })
        .collect();
    Manifest {
        project: ProjectName::new("test").expect("a name"),
        file: PathBuf::from("/test/baudbot.yaml"),
        tmux: TmuxServer::Private,
        groups,
        services,
        templates: IndexMap::new(),
    }
}
