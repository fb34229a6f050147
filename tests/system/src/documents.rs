//! The programs that know the standards of what we publish better than we do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::NamedTempFile;

/// What an independent reader says is wrong with an OpenAPI document; none is nothing.
#[track_caller]
pub fn wrong_in_openapi(document: &Value) -> Option<String> {
    let file = written(document);
    complaints(python("openapi_spec_validator").arg("--validation-errors=all").arg(file.path()))
}

/// The same for an AsyncAPI document.
#[track_caller]
pub fn wrong_in_asyncapi(document: &Value) -> Option<String> {
    let file = written(document);
    complaints(Command::new("node").arg(tools().join("asyncapi.mjs")).arg(file.path()))
}

/// What a linter says is wrong with a Dockerfile; none is nothing.
#[track_caller]
pub fn wrong_in_dockerfile(file: &Path) -> Option<String> {
    complaints(Command::new(tools().join("python/bin/hadolint")).arg(file))
}

/// What is not as the schemas of Kubernetes have it; none is nothing.
#[track_caller]
pub fn wrong_for_kubernetes(file: &Path) -> Option<String> {
    complaints(python("kubernetes_validate").arg("--strict").arg(file))
}

/// A program of the Python packages that `tests/documents` names.
#[track_caller]
pub fn python(module: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", tools().join("python")).env("PYTHONDONTWRITEBYTECODE", "1").args(["-m", module]);
    python
}

#[track_caller]
fn tools() -> PathBuf {
    let folder = std::env::var_os("TRELLIS_DOCUMENT_TOOLS");
    folder
        .map(PathBuf::from)
        .expect("TRELLIS_DOCUMENT_TOOLS: `cargo xtask test` sets it, and puts them there")
}

fn written(document: &Value) -> NamedTempFile {
    let file = NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write::<&Path, _>(file.path(), document.to_string()).unwrap();
    file
}

#[track_caller]
fn complaints(reader: &mut Command) -> Option<String> {
    let Output { status, stdout, stderr } = reader.output().unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (!status.success()).then_some(said)
}
