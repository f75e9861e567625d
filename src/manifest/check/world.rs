//! The declared things of all files, side by side, with what several rules need to know of them.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;

use super::edges::Edges;
use super::text::Texts;
use super::{Document, Input};
use crate::id::{GroupName, ProjectName, ServiceName};
use crate::manifest::Directories;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned, Table};
use crate::manifest::model::{self, TmuxServer};
use crate::manifest::raw;
use crate::manifest::source::Span;

/// Everything that is declared.
pub(crate) struct World<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) project: ProjectName,
    pub(super) directories: Directories,
    pub(super) tmux_server: TmuxServer,
    pub(super) groups: IndexMap<GroupName, Declared<'a, GroupName, raw::Group>>,
    /// With the samples of the templates, under the names of these, and their instances.
    pub(super) services: IndexMap<ServiceName, Declared<'a, ServiceName, raw::Service>>,
    /// What instances can be made of.
    pub(super) templates: IndexMap<ServiceName, model::Template>,
    /// Things declared a second time: the word for it, the name, again, first.
    pub(super) doubled: Vec<(&'static str, String, Span, Span)>,
    /// The sessions of the tmux services.
    pub(super) sessions: IndexMap<ServiceName, Session>,
    /// Who needs whom.
    pub(super) edges: Edges,
    /// The members of each group that somebody names, declared or not.
    members: HashMap<String, Vec<ServiceName>>,
}

/// Something with a name of its own.
pub(super) struct Declared<'a, N, T> {
    pub(super) name: N,
    /// Where its name is written.
    pub(super) key: Span,
    /// The file.
    pub(super) document: &'a Document,
    /// What is written there; absent when it is not even a map.
    pub(super) raw: Option<&'a T>,
    /// Where it comes from.
    pub(super) origin: Origin,
}

/// Where something declared comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// It is declared itself.
    Service,
    /// It stands for a template.
    Template(model::Instance),
    /// It is an instance of one.
    Instance(model::Instance),
}

/// The session of a tmux service.
pub(super) struct Session {
    pub(super) name: String,
    /// Where it is written: the field, or the name of the service that it is made of.
    pub(super) span: Span,
}

/// The cleanup that holds for a service, as far as it is written.
pub(super) struct WrittenCleanup<'a> {
    pub(super) cleanup: &'a Spanned<raw::Cleanup>,
    /// The group that it comes from; absent when it is the service's own.
    pub(super) group: Option<&'a GroupName>,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        input: &'a Input<'a>,
        project: ProjectName,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let directories = (input.context.directories)(&project);
        let mut world = Self {
            input,
            project,
            directories,
            tmux_server: TmuxServer::Private,
            groups: IndexMap::new(),
            services: IndexMap::new(),
            templates: IndexMap::new(),
            doubled: Vec::new(),
            sessions: IndexMap::new(),
            edges: Edges::default(),
            members: HashMap::new(),
        };
        let mut groups = IndexMap::new();
        let mut services = IndexMap::new();
        let mut templates = IndexMap::new();
        for document in input.documents {
            let doubled = &mut world.doubled;
            declare(
                "group",
                &document.raw.groups,
                document,
                &mut groups,
                doubled,
                diagnostics,
            );
            declare(
                "service",
                &document.raw.services,
                document,
                &mut services,
                doubled,
                diagnostics,
            );
            declare(
                "template",
                &document.raw.templates,
                document,
                &mut templates,
                doubled,
                diagnostics,
            );
        }
        for template in templates.values() {
            world.add_template(template, &mut services, diagnostics);
        }
        world.groups = groups;
        world.services = services;
        let prefix = world.tmux(diagnostics);
        world.sessions = world.sessions(&prefix, diagnostics);
        world.members = members(&world);
        world.edges = Edges::new(&world, diagnostics);
        world
    }

    /// Puts what a template stands for among the services.
    fn add_template(
        &mut self,
        template: &Declared<'a, ServiceName, raw::Service>,
        services: &mut IndexMap<ServiceName, Declared<'a, ServiceName, raw::Service>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let name = &template.name;
        if let Some(first) = services.get(name) {
            let word = "service or template";
            let doubled = (word, name.to_string(), template.key, first.key);
            self.doubled.push(doubled);
            return;
        }
        let nothing = raw::Service::default();
        let raw = template.raw.unwrap_or(&nothing);
        let meaning = super::templates::resolve(raw, name.as_str(), diagnostics);
        let instances = self.input.context.instances;
        let declared = super::templates::declared(template, &meaning, instances);
        services.extend(declared.into_iter().map(|one| (one.name.clone(), one)));
        self.templates.insert(name.clone(), meaning);
    }

    /// Whether a service names this group.
    pub(super) fn is_member(&self, service: &ServiceName, group: &str) -> bool {
        let raw = self.services.get(service).and_then(|declared| declared.raw);
        memberships(raw).any(|(name, _)| name == group)
    }

    /// The manifest that was named or found.
    pub(super) fn main(&self) -> &'a Document {
        &self.input.documents[0]
    }

    /// The files whose settings hold for what is declared in `document`, from the lowest to the
    /// highest.
    pub(super) fn settings(&self, document: &'a Document) -> Vec<&'a Document> {
        let main = self.main();
        if document.file == main.file {
            vec![main]
        } else {
            vec![main, document]
        }
    }

    /// What stands behind `baudbot.` in an expansion.
    pub(super) fn facts(&self, service: Option<&ServiceName>) -> BTreeMap<String, String> {
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let mut facts = BTreeMap::from([
            ("project".to_owned(), self.project.to_string()),
            ("state_dir".to_owned(), path(&self.directories.state)),
            ("runtime_dir".to_owned(), path(&self.directories.runtime)),
        ]);
        if let Some(service) = service {
            facts.insert("service".to_owned(), service.to_string());
            if let Some(Origin::Template(of) | Origin::Instance(of)) =
                self.services.get(service).map(|declared| &declared.origin)
            {
                let params = self.templates.get(&of.template).map(|one| &one.params);
                for (name, param) in params.into_iter().flatten() {
                    let value = of.params.get(name).or(param.default.as_ref());
                    // What must be given and is not is reported; a placeholder stands there.
                    let value = match (value, param.required) {
                        (Some(value), _) => value.clone(),
                        (None, true) => name.clone(),
                        (None, false) => String::new(),
                    };
                    facts.insert(format!("param.{name}"), value);
                }
                facts.insert("instance".to_owned(), of.name.clone());
            }
        }
        facts
    }

    /// The members of a group, in the order of the manifest.
    pub(super) fn members(&self, group: &str) -> &[ServiceName] {
        self.members
            .get(group)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The type of a service, where it is known.
    pub(super) fn kind(&self, service: &ServiceName) -> Option<raw::Type> {
        kind_of(self.services.get(service)?.raw?)
    }

    /// The cleanup that is written for a service: its own, else that of its first group that has one.
    pub(super) fn written_cleanup(
        &'a self,
        service: &'a Declared<'a, ServiceName, raw::Service>,
    ) -> Option<WrittenCleanup<'a>> {
        let raw = service.raw?;
        if !raw.cleanup.is_absent() {
            let cleanup = raw.cleanup.written()?;
            return Some(WrittenCleanup {
                cleanup,
                group: None,
            });
        }
        memberships(Some(raw)).find_map(|(name, _)| {
            let group = self.groups.get(name)?;
            Some(WrittenCleanup {
                cleanup: group.raw?.cleanup.written()?,
                group: Some(&group.name),
            })
        })
    }

    pub(super) fn model_groups(
        &self,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> IndexMap<GroupName, model::Group> {
        self.groups
            .values()
            .map(|group| {
                let cleanup = group
                    .raw
                    .and_then(|raw| raw.cleanup.written())
                    .and_then(|cleanup| super::cleanup::resolve(&cleanup.value, None, diagnostics));
                let description = group.raw.and_then(|raw| raw.description.value()).cloned();
                let resolved = model::Group {
                    name: group.name.clone(),
                    description,
                    cleanup,
                };
                (group.name.clone(), resolved)
            })
            .collect()
    }

    /// Resolves `tmux`, and gives the prefix of the sessions' names.
    fn tmux(&mut self, diagnostics: &mut Vec<Diagnostic>) -> String {
        let default = format!("{}-", super::tmux::fit(self.project.as_str()));
        let Some(tmux) = self.main().raw.tmux.value() else {
            return default;
        };
        if let Some(server) = tmux.server.written() {
            self.tmux_server = match server.value.as_str() {
                "private" => TmuxServer::Private,
                "default" => {
                    let environment = &self.input.context.environment;
                    let directory = environment.get("TMUX_TMPDIR").map(std::path::PathBuf::from);
                    match directory.filter(|directory| directory.is_absolute()) {
                        Some(directory) => TmuxServer::DefaultIn(directory),
                        None => TmuxServer::Default,
                    }
                }
                _ => {
                    let environment = &self.input.context.environment;
                    let empty = BTreeMap::new();
                    let facts = self.facts(None);
                    let texts = Texts {
                        sources: self.input.sources,
                        is_service: &|name| self.services.contains_key(name),
                        variables: &empty,
                        given: &super::given::NOTHING,
                        fallback: environment,
                        facts: &facts,
                        references: None,
                        home: None,
                        directory: &self.main().directory,
                    };
                    let word = "tmux server";
                    match super::tmux::server_path(&texts, server, word, diagnostics) {
                        Some(path) => TmuxServer::Socket(path),
                        None => TmuxServer::Private,
                    }
                }
            };
        }
        match tmux.prefix.written() {
            Some(prefix) => super::tmux::prefix(prefix, "`tmux.prefix`", diagnostics),
            None => default,
        }
    }

    /// The name of a session as it is meant: a template makes one for each instance.
    fn session(
        &self,
        service: &Declared<'_, ServiceName, raw::Service>,
        written: &Spanned<String>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<String>> {
        let mut session = written.clone();
        if service.origin == Origin::Service {
            return Some(session);
        }
        let nothing = BTreeMap::new();
        let facts = self.facts(Some(&service.name));
        let texts = Texts {
            sources: self.input.sources,
            is_service: &|name| self.services.contains_key(name),
            variables: &nothing,
            given: &super::given::NOTHING,
            fallback: &nothing,
            facts: &facts,
            references: None,
            home: None,
            directory: &service.document.directory,
        };
        let what = format!("`session` of template `{}`", service.name);
        let expanded = texts.expand(&written.value, written.span, &what, diagnostics)?;
        session.value = super::tmux::fit(&expanded);
        Some(session)
    }

    fn sessions(
        &self,
        prefix: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> IndexMap<ServiceName, Session> {
        let mut sessions = IndexMap::new();
        for service in self.services.values() {
            let Some(raw) = service.raw else { continue };
            if kind_of(raw) != Some(raw::Type::Tmux) {
                continue;
            }
            let session = match &raw.session {
                Field::Written(session) => {
                    let Some(name) = self.session(service, session, diagnostics) else {
                        continue;
                    };
                    super::tmux::session_name(&name, &service.name, diagnostics);
                    Session {
                        name: name.value,
                        span: session.span,
                    }
                }
                Field::Absent => Session {
                    name: format!("{prefix}{}", super::tmux::fit(service.name.as_str())),
                    span: service.key,
                },
                Field::Unfit(_) => continue,
            };
            sessions.insert(service.name.clone(), session);
        }
        sessions
    }
}

/// The type of a service; `None` when it is written but unfit.
pub(super) fn kind_of(raw: &raw::Service) -> Option<raw::Type> {
    match &raw.kind {
        Field::Absent => Some(raw::Type::Process),
        Field::Written(kind) => Some(kind.value),
        Field::Unfit(_) => None,
    }
}

/// The groups that a service names, with the places.
pub(super) fn memberships(raw: Option<&raw::Service>) -> impl Iterator<Item = (&str, Span)> {
    raw.and_then(|raw| raw.groups.value())
        .map(|groups| raw::texts(groups))
        .unwrap_or_default()
        .into_iter()
}

fn members(world: &World<'_>) -> HashMap<String, Vec<ServiceName>> {
    let mut members: HashMap<String, Vec<ServiceName>> = HashMap::new();
    // Nobody waits for what is started by hand.
    let services = world.services.values();
    for service in services.filter(|one| one.origin == Origin::Service) {
        for (group, _) in memberships(service.raw) {
            let members = members.entry(group.to_owned()).or_default();
            // A group that is named twice has its member once.
            if members.last() != Some(&service.name) {
                members.push(service.name.clone());
            }
        }
    }
    members
}

fn declare<'a, N, T>(
    word: &'static str,
    table: &'a Field<Table<T>>,
    document: &'a Document,
    declared: &mut IndexMap<N, Declared<'a, N, T>>,
    doubled: &mut Vec<(&'static str, String, Span, Span)>,
    diagnostics: &mut Vec<Diagnostic>,
) where
    N: TryFrom<String, Error = crate::id::NameError> + Clone + Eq + std::hash::Hash,
{
    let Some(table) = table.value() else { return };
    for (key, value) in &table.0 {
        // The name of an instance is nobody's to declare.
        let is_bare = match key.value.contains('@') {
            true => Err(crate::id::NameError::BadCharacter('@')),
            false => Ok(()),
        };
        let name = match is_bare.and_then(|()| N::try_from(key.value.clone())) {
            Ok(name) => name,
            Err(error) => {
                diagnostics.push(super::names::bad_name(word, &key.value, key.span, &error));
                continue;
            }
        };
        if let Some(first) = declared.get(&name) {
            doubled.push((word, key.value.clone(), key.span, first.key));
            continue;
        }
        let thing = Declared {
            name: name.clone(),
            key: key.span,
            document,
            raw: value.value(),
            origin: Origin::Service,
        };
        declared.insert(name, thing);
    }
}
