//! What the tests of this folder share: loading with a known environment, and manifests in scratch
//! directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baudbot::id::ProjectName;
use baudbot::manifest::diagnostic::Diagnostic;
use baudbot::manifest::model::{Manifest, Service};
use baudbot::manifest::{self, Context, Directories, Loaded};

/// The environment of the ordering command.
pub(crate) fn environment() -> BTreeMap<String, String> {
    [
        ("HOME", "/home/someone"),
        ("PATH", "/usr/bin:/bin"),
        ("USER", "someone"),
        ("LC_TIME", "C"),
        ("EDITOR", "ed"),
        ("AWS_REGION", "north"),
        ("AWS_SECRET", "hidden"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn directories(project: &ProjectName) -> Directories {
    Directories {
        state: Path::new("/state").join(project.as_str()),
        runtime: Path::new("/run").join(project.as_str()),
    }
}

/// Loads a manifest as an ordinary user with [`environment`].
pub(crate) fn load(file: &Path) -> Loaded {
    load_with(file, environment(), false)
}

/// Loads a manifest.
pub(crate) fn load_with(
    file: &Path,
    environment: BTreeMap<String, String>,
    is_root: bool,
) -> Loaded {
    let context = Context {
        environment,
        is_root,
        directories: &directories,
        instances: &[],
        unwritten_project: None,
        find_user: &|name| {
            ["someone", "agent"]
                .contains(&name)
                .then(|| manifest::User {
                    name: name.into(),
                    home: format!("/home/{name}"),
                    shell: "/bin/sh".into(),
                    is_self: name == "someone",
                    may_be_become: name == "someone" || is_root,
                })
        },
        finds_program: &|program, path, directory| match path {
            _ if program.contains('/') => directory.join(program).is_file(),
            Some(path) => path
                .split(':')
                .any(|one| Path::new(one).join(program).is_file()),
            None => false,
        },
    };
    manifest::load(file, &context)
}

/// A scratch directory with files.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    /// One with this manifest, `baudbot.yaml`.
    pub(crate) fn new(manifest: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("shop").tempdir().unwrap();
        let scene = Self { directory };
        scene.file("baudbot.yaml", manifest)
    }

    /// Adds a file.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Loads the manifest.
    pub(crate) fn load(&self) -> Loaded {
        load(&self.path("baudbot.yaml"))
    }

    /// The resolved manifest.
    ///
    /// # Panics
    /// When there is a mistake in it.
    pub(crate) fn manifest(&self) -> Manifest {
        let loaded = self.load();
        assert!(loaded.manifest.is_some(), "{:#?}", loaded.diagnostics);
        loaded.manifest.unwrap()
    }

    /// One service of it.
    pub(crate) fn service(&self, name: &str) -> Service {
        self.manifest().services[name].clone()
    }

    /// The codes of its diagnostics, in order.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        codes(&self.load())
    }

    /// Its only diagnostic.
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let diagnostics = self.load().diagnostics;
        assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
        diagnostics.into_iter().next().unwrap()
    }
}

/// The codes of the diagnostics, in order.
pub(crate) fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|one| one.code).collect()
}

/// Messages are lowercase fragments without a full stop, and helps are statements.
pub(crate) fn assert_style(diagnostic: &Diagnostic) {
    let help = diagnostic.help.iter().map(String::as_str);
    let labels = diagnostic.labels.iter().map(|label| label.text.as_str());
    for text in [diagnostic.message.as_str()]
        .into_iter()
        .chain(help)
        .chain(labels)
    {
        assert!(!text.is_empty(), "{diagnostic:?}");
        assert!(!text.ends_with(['.', '?', '!', ' ']), "{text:?}");
        assert!(!text.contains('\n'), "{text:?}");
        assert_eq!(text.matches('`').count() % 2, 0, "{text:?}");
        for word in ["illegal", "invalid"] {
            assert!(!text.contains(word), "{text:?}");
        }
    }
    // Proper names aside, which are known.
    let first = diagnostic.message.chars().next().unwrap();
    assert!(!first.is_uppercase(), "{:?}", diagnostic.message);
}
