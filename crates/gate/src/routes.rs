use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodFilter, MethodRouter},
};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tower::service_fn;

use crate::{
    Call, Gate, Meta, Method, Operation, Output, Problem, Refused, Surface,
    ask::Table,
    body, cors,
    flow::{Admitted, Mounted, Run, success_status},
    operation::SchemaOf,
};

/// A row of the table with what the document needs of its types.
pub(crate) struct Row {
    pub(crate) meta: Meta,
    pub(crate) input: SchemaOf,
    pub(crate) output: SchemaOf,
    pub(crate) media_type: Option<&'static str>,
    is_file: bool,
    run: Run,
}

/// The table of operations, with a handler for each. `S` is what the handlers share.
pub struct Routes<S> {
    state: S,
    pub(crate) rows: Vec<Row>,
    pages: Option<(&'static str, Refused)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// An empty table.
    pub fn new(state: S) -> Self {
        Self { state, rows: Vec::new(), pages: None }
    }

    /// What the handlers share.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Adds an operation. The only way to add a route; the gate comes with it.
    pub fn mount<I, O, F, R>(&mut self, operation: Operation<I, O>, handler: F)
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Output,
        F: Fn(S, Call<I>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let meta = operation.meta();
        let (state, status) = (self.state.clone(), success_status(&meta));
        let run: Run = Arc::new(move |admitted: Admitted| {
            let Admitted { caller, body, context } = admitted;
            let input = if meta.form {
                body::parse_form::<I>(&body)
            } else if meta.raw {
                body::parse_input::<I>(b"{}")
            } else if meta.method.has_body() && meta.upload.is_none() {
                body::parse_input::<I>(&body)
            } else {
                body::parse_query::<I>(context.uri.query().unwrap_or(""))
            };
            match input {
                Err(problem) => std::future::ready(Err(problem)).boxed(),
                Ok(input) => handler(state.clone(), Call { caller, input, request: context })
                    .map(move |answer| answer.map(|output| output.into_response(status)))
                    .boxed(),
            }
        });
        self.rows.push(Row {
            meta,
            input: |generator| Some(generator.subschema_for::<I>()),
            output: O::schema,
            media_type: O::MEDIA_TYPE,
            is_file: O::IS_FILE,
            run,
        });
    }

    /// Below this prefix are pages: a path or a method that is none of the table's is refused by one, too, where
    /// `Accept` names `text/html`.
    pub const fn refuse_below(&mut self, prefix: &'static str, page: Refused) {
        self.pages = Some((prefix, page));
    }

    /// Every operation, in the order in which they were mounted.
    pub fn table(&self) -> Vec<Meta> {
        self.rows.iter().map(|row| row.meta).collect()
    }

    /// The service. Its operations live as long as the process.
    pub fn into_router(self, gate: &Gate) -> Router {
        let (unknown_drop_in, pages) = (drop_in_prefixes(&self.rows), self.pages);
        let page = move |path: &str| pages.filter(|(prefix, _)| path.starts_with(prefix)).map(|(_, page)| page);
        let mut paths: BTreeMap<&'static str, (MethodRouter, Vec<&'static str>, bool)> = BTreeMap::new();
        let files: BTreeSet<&'static str> = self
            .rows
            .iter()
            .filter(|row| row.is_file && row.meta.method == Method::Get)
            .map(|row| row.meta.path)
            .collect();
        let drop_in: BTreeSet<&'static str> =
            self.rows.iter().filter(|row| row.meta.surface == Surface::DropIn).map(|row| row.meta.path).collect();
        let mut operations = Table::new();
        for row in self.rows {
            let metrics = gate.0.metrics.of(row.meta.id, row.meta.status);
            let mounted: &'static Mounted = Box::leak(Box::new(Mounted { meta: row.meta, run: row.run, metrics }));
            operations.insert(row.meta.id, mounted);
            let gate = gate.clone();
            let service = service_fn(move |request: Request| gate.clone().serve(mounted, request).map(Ok));
            let (router, methods, browsers) = paths.entry(row.meta.path).or_default();
            *router = std::mem::take(router).on_service(filter(row.meta.method), service);
            methods.push(row.meta.method.as_str());
            *browsers |= row.meta.access.is_for_browsers();
        }
        // Set once: a gate has one table.
        let _ = gate.0.operations.set(operations);
        let mut router = Router::new();
        for (path, (mut methods, names, browsers)) in paths {
            if browsers {
                let allow = names.join(", ");
                methods = methods.on_service(
                    MethodFilter::OPTIONS,
                    service_fn(move |_: Request| std::future::ready(Ok(cors::preflight(&allow)))),
                );
            }
            if files.contains(path) {
                let (gate, allow) = (gate.clone(), names.join(", "));
                let without = service_fn(move |request: Request| {
                    let house = (Surface::House, page(request.uri().path()));
                    let refused = refuse(&gate, "method_not_allowed", house, Problem::method_not_allowed, request);
                    let allow = HeaderValue::from_str(&allow);
                    refused.map(|mut response| {
                        response.headers_mut().extend(allow.ok().map(|allow| (header::ALLOW, allow)));
                        Ok(response)
                    })
                });
                methods = methods.on_service(MethodFilter::HEAD, without);
            }
            if drop_in.contains(path) {
                let gate = gate.clone();
                methods = methods.fallback(move |request: Request| {
                    refuse(&gate, "method_not_allowed", (Surface::DropIn, None), Problem::method_not_allowed, request)
                });
            }
            router = router.route(path, methods);
        }
        let (unknown, wrong) = (gate.clone(), gate.clone());
        router
            .fallback(move |request: Request| {
                let path = request.uri().path();
                if unknown_drop_in.iter().any(|prefix| path.starts_with(prefix.as_str())) {
                    let not_found = || Problem::not_found().said_as(StatusCode::NOT_FOUND, "Not found");
                    return refuse(&unknown, "not_found", (Surface::DropIn, None), not_found, request);
                }
                let house = (Surface::House, page(path));
                refuse(&unknown, "not_found", house, Problem::not_found, request)
            })
            .method_not_allowed_fallback(move |request: Request| {
                let house = (Surface::House, page(request.uri().path()));
                refuse(&wrong, "method_not_allowed", house, Problem::method_not_allowed, request)
            })
    }
}

/// Below which paths everything unknown is the drop-in surface's: below each of its own, unless the house
/// has something there too.
fn drop_in_prefixes(rows: &[Row]) -> Vec<String> {
    let (own, house): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.meta.surface == Surface::DropIn);
    let prefixes = own.iter().map(|row| format!("{}/", row.meta.path.split("/{").next().unwrap_or_default()));
    prefixes.filter(|prefix| !house.iter().any(|row| row.meta.path.starts_with(prefix.as_str()))).collect()
}

fn refuse(
    gate: &Gate,
    operation: &'static str,
    (surface, page): (Surface, Option<Refused>),
    problem: fn() -> Problem,
    request: Request,
) -> impl Future<Output = Response> + use<> {
    std::future::ready(gate.refuse(operation, surface, page, problem(), &request.into_parts().0))
}

const fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}
