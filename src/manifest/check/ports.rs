//! The ports that services own.

use indexmap::IndexMap;

use super::service::Values;
use super::text::Texts;
use super::world::World;
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::Service;
use crate::manifest::raw::{self, OwnedPort};
use crate::manifest::scalars::{self, Unfit};
use crate::manifest::source::Span;
use crate::port::{Host, Port, Protocol};

/// Resolves `ports`. One that makes no sense is reported and left out.
pub(super) fn resolve(raw: &raw::Service, texts: &Texts<'_>, values: &mut Values<'_>) -> Vec<Port> {
    written(raw)
        .filter_map(|item| match &item.value {
            OwnedPort::Short(listen) => {
                let text = &listen.0.text;
                let read = scalars::listen;
                let (host, number) = expanded(text, item.span, "ports", texts, values, read)?;
                Some(Port {
                    host,
                    number,
                    protocol: Protocol::Tcp,
                })
            }
            OwnedPort::Full(settings) => full(item, settings, texts, values),
        })
        .collect()
}

fn written(raw: &raw::Service) -> impl Iterator<Item = &Spanned<OwnedPort>> {
    let items = raw.ports.value().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Field::written)
}

fn full(
    item: &Spanned<OwnedPort>,
    settings: &raw::PortSettings,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Port> {
    if settings.port.is_absent() {
        let what = values.what("ports");
        values.diagnostics.push(
            Diagnostic::error(
                "missing_port",
                format!("{what} has an entry without a port"),
            )
            .label(item.span, "no `port` in it")
            .help("add `port: NUMBER`"),
        );
    }
    let host = match settings.host.written() {
        None => Some(Host::Every),
        Some(host) => expanded(
            &host.value,
            host.span,
            "ports.host",
            texts,
            values,
            scalars::host_address,
        ),
    };
    let port = settings.port.written()?;
    let text = &port.value.0.text;
    let read = scalars::owned_port;
    let number = expanded(text, port.span, "ports.port", texts, values, read)?;
    Some(Port {
        host: host?,
        number,
        protocol: match settings.protocol.value() {
            Some(raw::Protocol::Udp) => Protocol::Udp,
            Some(raw::Protocol::Tcp) | None => Protocol::Tcp,
        },
    })
}

fn expanded<T>(
    text: &str,
    span: Span,
    field: &str,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
    read: impl Fn(&str) -> Result<T, Unfit>,
) -> Option<T> {
    let what = values.what(field);
    let text = texts.expand_word(text, span, &what, values.diagnostics)?;
    match read(&text) {
        Ok(meaning) => Some(meaning),
        Err(unfit) => {
            let diagnostic = values.unfit(&unfit, &text, field, span);
            values.diagnostics.push(diagnostic);
            None
        }
    }
}

/// No two services that run here own the same port, and no service owns it twice.
pub(super) fn clashes(
    world: &World<'_>,
    services: &IndexMap<ServiceName, Service>,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut owned: Vec<(&ServiceName, Port, Span)> = Vec::new();
    for service in services.values().filter(|service| !service.is_skipped()) {
        let raw = world.services.get(&service.name).and_then(|one| one.raw);
        let spans: Vec<Span> = raw
            .into_iter()
            .flat_map(written)
            .map(|one| one.span)
            .collect();
        // One of them made no sense, and was left out.
        if spans.len() != service.ports.len() {
            continue;
        }
        for (port, span) in service.ports.iter().zip(spans) {
            let other = owned.iter().find(|(_, other, _)| other.clashes_with(*port));
            if let Some((name, _, first)) = other {
                diagnostics.push(clash(name, &service.name, *port, *first, span));
            }
            owned.push((&service.name, *port, span));
        }
    }
    diagnostics
}

fn clash(
    first: &ServiceName,
    again: &ServiceName,
    port: Port,
    first_span: Span,
    span: Span,
) -> Diagnostic {
    let protocol = match port.protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "udp ",
    };
    let number = port.number;
    let (message, help) = if first == again {
        (
            format!("service `{first}` declares {protocol}port {number} twice"),
            "keep one of them",
        )
    } else {
        (
            format!("services `{first}` and `{again}` both declare {protocol}port {number}"),
            "give one of them another port or address; where only one of them runs at a time, say so with `when`",
        )
    };
    Diagnostic::error("port_clash", message)
        .label(span, "again here")
        .label(first_span, "first here")
        .help(help)
}
