//! What is deployed on a lattice that runs, and what takes its place.

use trellis_manifest::Manifest;

use super::Lattice;
use crate::failure::Result;
use crate::files;
use crate::lattice::manifest::Deployment;

const DEPLOY_PATIENCE_SECONDS: u64 = 180;
/// Copies of a log and of a bucket, where there are several servers: one can be lost of three.
const COPIES_MAX: u8 = 3;

impl Lattice {
    /// Whether this manifest asks for something else than what is deployed.
    pub fn is_other(&self, manifest: &Manifest) -> Result<bool> {
        Ok(self.here(manifest)?.manifest != self.deployment.manifest)
    }

    /// Deploys another manifest of the same application in place of what is deployed, and returns when that answers.
    pub fn deploy(&mut self, manifest: &Manifest) -> Result<()> {
        self.deployment = self.here(manifest)?;
        self.deploy_again()
    }

    /// Deploys what is deployed already: wadm looks at all of it anew.
    pub fn deploy_again(&self) -> Result<()> {
        self.deploy_manifest(&[])?;
        self.wait_for_answer()
    }

    /// The same, after what is deployed has been taken away, as `wash app deploy --replace` does.
    pub fn replace(&mut self, manifest: &Manifest) -> Result<()> {
        self.deployment = self.here(manifest)?;
        self.deploy_manifest(&["--replace", self.deployment.manifest.application()])?;
        self.wait_for_answer()
    }

    /// Returns when none of the application runs.
    pub fn undeploy(&self) -> Result<()> {
        let hosts = self.hosts_running().to_string();
        self.ask(
            &["undeploy", "--hosts", &hosts],
            DEPLOY_PATIENCE_SECONDS,
            &[self.deployment.manifest.application()],
        )
    }

    /// A manifest as this lattice can run it.
    pub(super) fn here(&self, manifest: &Manifest) -> Result<Deployment> {
        let clients: Vec<String> = self.nats().map(str::to_owned).collect();
        let with_accounts = self.plan.accounts.as_ref().map(|of| of.make(&self.plan.folder, manifest));
        let with_accounts = with_accounts.transpose()?;
        let manifest = with_accounts.as_ref().unwrap_or(manifest);
        let mut deployment = Deployment::here(manifest, &self.plan.root, &self.tools)?;
        if let Some(secrets) = &self.plan.secrets {
            secrets.sign(&mut deployment.manifest, &self.tools, &self.plan.folder)?;
        }
        let deployment = deployment.at(&self.deployment.http, &clients);
        Ok(match self.plan.servers {
            1 => deployment,
            several => deployment.replicated(several.min(COPIES_MAX)),
        })
    }

    pub(super) fn deploy_manifest(&self, how: &[&str]) -> Result<()> {
        self.deployment.expect_files()?;
        let file = self.plan.folder.join("wadm.yaml");
        // Where services are kept apart, their credentials are in it.
        files::write_private(&file, self.deployment.manifest.to_string().as_bytes())?;
        let hosts = self.hosts_running().to_string();
        let what = [&["deploy", "--hosts", &hosts], how].concat();
        self.ask(&what, DEPLOY_PATIENCE_SECONDS, &[&file.display().to_string()])
    }
}
