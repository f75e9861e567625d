//! Instances of templates: those there are, and the one that is asked for.
//!
//! The ledger knows them, whether a supervisor runs or not: it keeps the manifest that was ordered
//! last, instances with what they were given included. Each order resolves them anew, so that an
//! edit of a template reaches what runs of it.

use std::collections::BTreeMap;

use super::Failure;
use crate::code;
use crate::exit::ExitCode;
use crate::id::ProjectName;
use crate::manifest::model::{Instance, Manifest};
use crate::plan::Selector;
use crate::store::Project;

/// `--param NAME=VALUE`.
pub(super) fn parse_param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

/// The instances that a project has, as far as can be told.
pub(super) fn known(project: &ProjectName) -> Vec<Instance> {
    let ledger = Project::locate(project).and_then(|project| project.read_ledger());
    // Who needs the ledger tells what is wrong with it.
    let manifest = ledger.ok().and_then(|ledger| ledger.manifest);
    manifest
        .into_iter()
        .flat_map(|manifest| manifest.services)
        .filter_map(|(_, service)| service.instance)
        .collect()
}

/// The instances that `selection` asks for, given `params`.
pub(super) fn wanted(
    selection: &[Selector],
    params: &[(String, String)],
) -> Result<Vec<Instance>, Failure> {
    let named: Vec<_> = selection
        .iter()
        .filter_map(|selector| match selector {
            Selector::Service(name) => Some((name, name.instance()?)),
            Selector::Group(_) => None,
        })
        .collect();
    if !params.is_empty() && named.len() != 1 {
        return Err(Failure::new(
            code!("cli::param_without_instance"),
            ExitCode::Usage,
            match named.len() {
                0 => "`--param` is for an instance of a template, and none is named",
                _ => "`--param` is for one instance, and several are named",
            },
        )
        .help("name one, as in `baudbot start dev@repo-42 --param worktree=/srv/repo`"));
    }
    let params: BTreeMap<String, String> = params.iter().cloned().collect();
    Ok(named
        .into_iter()
        .filter_map(|(_, (template, instance))| {
            Some(Instance {
                template: template.parse().ok()?,
                name: instance.to_owned(),
                params: params.clone(),
            })
        })
        .collect())
}

/// What is known, with what is asked for in its place. What is asked for again without params keeps
/// those that it has.
pub(super) fn with(mut known: Vec<Instance>, wanted: &[Instance]) -> Vec<Instance> {
    for one in wanted {
        let is_same = |other: &Instance| other.template == one.template && other.name == one.name;
        match known.iter_mut().find(|other| is_same(other)) {
            Some(_) if one.params.is_empty() => {}
            Some(other) => other.params.clone_from(&one.params),
            None => known.push(one.clone()),
        }
    }
    known
}

/// Whether what is asked for can be had from this manifest.
pub(super) fn check(manifest: &Manifest, wanted: &[Instance]) -> Result<(), Failure> {
    for one in wanted {
        let name = &one.template;
        let Some(template) = manifest.templates.get(name) else {
            let names: Vec<String> = manifest
                .templates
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            return Err(Failure::new(
                code!("cli::unknown_template"),
                ExitCode::Usage,
                format!("there is no template `{name}`"),
            )
            .help(match names.as_slice() {
                [] => "the manifest declares none; they stand in `templates`".to_owned(),
                names => format!("there is {}", names.join(", ")),
            }));
        };
        let service = format!("{name}@{}", one.name);
        let given = match manifest.services.get(service.as_str()) {
            Some(service) if one.params.is_empty() => service
                .instance
                .as_ref()
                .map_or(&one.params, |instance| &instance.params),
            _ => &one.params,
        };
        if let Err(wrong) = template.values(given) {
            let params: Vec<String> = template
                .params
                .iter()
                .map(|(name, param)| match param.required {
                    true => format!("`{name}` (required)"),
                    false => format!("`{name}`"),
                })
                .collect();
            return Err(Failure::new(
                code!("cli::unfit_params"),
                ExitCode::Usage,
                format!("`{service}` cannot be made: {}", wrong.join("; ")),
            )
            .help(match params.as_slice() {
                [] => format!("`{name}` takes no params"),
                params => format!("`{name}` takes {}", params.join(", ")),
            }));
        }
    }
    Ok(())
}
