//! Names, versions, and what may stand in which file.

use std::path::Path;

use super::world::World;
use crate::id::{LONGEST_NAME, NameError, ProjectName};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::Field;
use crate::manifest::source::Span;

/// Every file says which version of the language it is written in.
pub(super) fn versions(world: &World<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for document in world.input.documents {
        match &document.raw.version {
            Field::Unfit(_) => {}
            Field::Absent => diagnostics.push(
                Diagnostic::error("missing_version", "the manifest does not say its version")
                    .label(start(document.file), "no `version` in this file")
                    .help("add `version: 1` at the top"),
            ),
            Field::Written(version) => {
                if let Err(unfit) = version.value.meaning() {
                    let text = &version.value.0.text;
                    diagnostics.push(
                        Diagnostic::error(
                            unfit.code,
                            format!("`version` is `{text}`, {}", unfit.what),
                        )
                        .label(version.span, "not a known version")
                        .help(unfit.help),
                    );
                }
            }
        }
    }
    diagnostics
}

fn start(file: crate::manifest::source::FileId) -> Span {
    Span {
        file,
        start: 0,
        end: 0,
    }
}

/// The project's name and its tmux server are said once.
pub(super) fn only_in_the_main_manifest(world: &World<'_>) -> Vec<Diagnostic> {
    let included = world.input.documents.iter().skip(1);
    let mut diagnostics = Vec::new();
    for document in included {
        let keys = [
            ("project", document.raw.project.written().map(|one| one.key)),
            ("tmux", document.raw.tmux.written().map(|one| one.key)),
        ];
        for (key, span) in keys {
            let Some(span) = span else { continue };
            diagnostics.push(
                Diagnostic::error(
                    "not_in_include",
                    format!("an included file cannot set `{key}`"),
                )
                .label(span, "this file is included by another")
                .help(format!("set `{key}` in the manifest that includes it")),
            );
        }
    }
    diagnostics
}

/// A name is declared in one place. (Twice in one map is a mistake of the YAML already.)
pub(super) fn declared_twice(world: &World<'_>) -> Vec<Diagnostic> {
    world
        .doubled
        .iter()
        .map(|(word, name, again, first)| {
            Diagnostic::error(
                "declared_twice",
                format!("{word} `{name}` is declared in two files"),
            )
            .label(*again, "again here")
            .label(*first, "first here")
            .help(format!(
                "rename one of the two, or remove it; a {word} is declared in one place"
            ))
        })
        .collect()
}

/// A manifest without services does nothing.
pub(super) fn no_services(world: &World<'_>) -> Vec<Diagnostic> {
    // Those with a name that is unfit are not among the world's.
    let has_some = world
        .input
        .documents
        .iter()
        .flat_map(|document| [&document.raw.services, &document.raw.templates])
        .any(|services| match services {
            Field::Absent => false,
            Field::Unfit(_) => true,
            Field::Written(services) => !services.value.0.is_empty(),
        });
    if has_some || !world.input.is_complete {
        return Vec::new();
    }
    let span = world
        .main()
        .raw
        .services
        .written()
        .map_or(start(world.main().file), |services| services.key);
    vec![
        Diagnostic::warning("no_services", "the manifest declares no services")
            .label(span, "nothing to run")
            .help("`services: {hello: {command: \"echo hello; sleep 60\"}}` is one"),
    ]
}

/// A text that cannot be a name.
pub(crate) fn bad_name(word: &str, text: &str, span: Span, error: &NameError) -> Diagnostic {
    Diagnostic::error("bad_name", format!("`{text}` cannot be the name of a {word}"))
        .label(span, error.to_string())
        .help("a name begins with a letter or a digit and has letters, digits, `.`, `_` and `-`, 64 at most")
}

/// The directory of a repository in which the manifests of hosts are kept; it gives no name.
pub(crate) const MANIFESTS: &str = "manifests";

/// How many characters of a name that is too long are kept; a hyphen and the hash of the whole follow.
const KEPT_OF_A_LONG_NAME: usize = LONGEST_NAME - 9;

/// The name of a project that does not say its own: that of the directory of its manifest, or of that
/// directory's parent when it is called `manifests`, made fit. Of one that is too long the end is
/// replaced by a hash of it, so that two directories that begin alike are two projects.
pub(crate) fn default_project(manifest: &Path) -> Option<ProjectName> {
    let name = fit_name(manifest)?;
    if name.len() <= LONGEST_NAME {
        return ProjectName::new(name).ok();
    }
    let hash = short_hash(&name);
    ProjectName::new(format!("{}-{hash:08x}", &name[..KEPT_OF_A_LONG_NAME])).ok()
}

/// The name that earlier versions gave, where that is another: the beginning of one that is too long.
pub(crate) fn former_default_project(manifest: &Path) -> Option<ProjectName> {
    let name = fit_name(manifest)?;
    let cut = name.get(..LONGEST_NAME)?;
    (cut.len() < name.len())
        .then(|| ProjectName::new(cut).ok())
        .flatten()
}

/// The name of the directory, made fit but for its length. It is ASCII.
fn fit_name(manifest: &Path) -> Option<String> {
    let directory = manifest.parent()?;
    let directory = if directory.file_name()? == MANIFESTS {
        directory.parent()?
    } else {
        directory
    };
    let name = directory.file_name()?.to_string_lossy();
    let fit = name.chars().map(|c| match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
        _ => '-',
    });
    Some(fit.skip_while(|c| !c.is_ascii_alphanumeric()).collect())
}

/// FNV-1a in 32 bits: it only tells names apart, and must be the same in every version.
fn short_hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_called_like_its_directory() {
        let name = |path: &str| default_project(Path::new(path)).map(|name| name.to_string());
        assert_eq!(name("/srv/shop/baudbot.yaml").as_deref(), Some("shop"));
        assert_eq!(
            name("/srv/shop/manifests/baudbot.yaml").as_deref(),
            Some("shop")
        );
        assert_eq!(
            name("/srv/my shop/baudbot.yaml").as_deref(),
            Some("my-shop")
        );
        assert_eq!(name("/srv/.hidden/baudbot.yaml").as_deref(), Some("hidden"));
        assert_eq!(name("/baudbot.yaml"), None);
        assert_eq!(name("/manifests/baudbot.yaml"), None);
    }

    #[test]
    fn directories_that_begin_alike_are_two_projects() {
        let long = "feature-branch-of-the-payment-service-that-has-a-very-long-name-";
        let name = |end: &str| {
            let path = format!("/srv/{long}{end}/baudbot.yaml");
            default_project(Path::new(&path)).unwrap().to_string()
        };
        assert_eq!(long.len(), LONGEST_NAME);
        assert_eq!(name(""), long);
        assert_ne!(name("one"), name("two"));
        assert!(name("one").starts_with(&long[..50]));
        // Projects are found by this name in every later version.
        assert_eq!(
            name("one"),
            "feature-branch-of-the-payment-service-that-has-a-very-l-9de6cdff"
        );
        let former = |end: &str| {
            let path = format!("/srv/{long}{end}/baudbot.yaml");
            former_default_project(Path::new(&path)).map(|name| name.to_string())
        };
        assert_eq!(former("one").as_deref(), Some(long));
        assert_eq!(former(""), None);
    }
}
