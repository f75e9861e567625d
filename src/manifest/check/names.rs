//! Names, versions, and what may stand in which file.

use super::world::World;
use crate::id::{NameError, ProjectName};
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

/// The name of a project that does not say its own: that of the directory of its manifest, or of that
/// directory's parent when it is called `manifests`, made fit.
pub(crate) fn default_project(manifest: &std::path::Path) -> Option<ProjectName> {
    let directory = manifest.parent()?;
    let directory = if directory.file_name()? == "manifests" {
        directory.parent()?
    } else {
        directory
    };
    let name: String = directory
        .file_name()?
        .to_string_lossy()
        .chars()
        .map(|c| match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '-',
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(crate::id::LONGEST_NAME)
        .collect();
    ProjectName::new(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
}
