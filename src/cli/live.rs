//! A cluster that is there, which the program reaches.

use std::collections::BTreeSet;

use moat_core::policy::{Kind, Policy};
use moat_k8s::{Access, Published, There};

use crate::Io;
use crate::args::{Live, Named};
use crate::failure::Failure;
use crate::session::progress;

/// A cluster whose API server's answers are waited for. Errors say why, and what to do.
pub trait Cluster {
    /// Everything that policies are about.
    ///
    /// # Errors
    /// Something was not read.
    fn there(&mut self) -> Result<There, String>;

    /// What Moat tells of the policies of a namespace, or of all, and of itself.
    ///
    /// # Errors
    /// The API server does not answer, or the pods may not be read.
    fn published(&mut self, namespace: Option<&str>) -> Result<Published, String>;

    /// Who leads an installation at the moment.
    ///
    /// # Errors
    /// That is not known.
    fn leader(&mut self, installation: &str) -> Result<Option<String>, String>;

    /// Takes the lease of an installation, and renews it for as long as this lives: no controller changes the cloud meanwhile.
    /// Who holds it instead, if somebody does.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn take(&mut self, installation: &str) -> Result<Option<String>, String>;

    /// Whether the lease that was taken is still ours.
    fn is_held(&self) -> bool;

    /// Asks that Moat let go of a pod, or take it back.
    ///
    /// # Errors
    /// It was not asked.
    fn release(&mut self, namespace: &str, pod: &str, is_released: bool) -> Result<(), String>;

    /// Asks an installation to pause, or to go on.
    ///
    /// # Errors
    /// It was not asked.
    fn pause(&mut self, installation: &str, is_paused: bool) -> Result<(), String>;
}

/// Reaches a cluster, or says why not and what to do.
pub type Reach<'a> = dyn Fn(&Access) -> Result<Box<dyn Cluster>, String> + 'a;

/// Reaches nothing: this program is built without the controller.
///
/// # Errors
/// Always.
pub fn clusterless(_: &Access) -> Result<Box<dyn Cluster>, String> {
    Err("this program is built without Kubernetes' client: build it with its default features, or give manifests".to_owned())
}

impl Live {
    /// Whether a cluster is to be read.
    pub(crate) const fn is_named(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }

    /// The cluster that is to be read, if one is.
    pub(crate) fn reach(&self, io: &Io<'_>) -> Result<Option<Box<dyn Cluster>>, Failure> {
        let Self { context, kubeconfig } = self;
        let access = Access { kubeconfig: kubeconfig.clone(), context: context.clone() };
        self.is_named().then(|| reach(&access, io)).transpose()
    }
}

impl Named {
    pub(crate) fn access(&self) -> Access {
        let Self { context, kubeconfig } = self;
        Access { kubeconfig: kubeconfig.clone(), context: context.clone() }
    }

    pub(crate) fn reach(&self, io: &Io<'_>) -> Result<Box<dyn Cluster>, Failure> {
        reach(&self.access(), io)
    }
}

fn reach(access: &Access, io: &Io<'_>) -> Result<Box<dyn Cluster>, Failure> {
    (io.reach)(access).map_err(Failure::Cluster)
}

/// Says which kinds of policies the cluster does not serve: they are read here, and could not be applied there.
pub(crate) fn note_absent(
    absent: &BTreeSet<Kind>,
    policies: &[Policy],
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let used: BTreeSet<Kind> = policies.iter().map(|policy| policy.object.kind).collect();
    for kind in used.intersection(absent) {
        let first = if *kind == Kind::ClusterNetworkPolicy {
            "https://network-policy-api.sigs.k8s.io has its definition"
        } else {
            "`moat crds | kubectl apply --server-side -f -` installs its definition"
        };
        writeln!(io.stderr, "note: the cluster does not serve {}: {first}", kind.as_str())?;
    }
    Ok(())
}

/// Everything that policies are about in a cluster; nothing where there is none.
pub(crate) fn there(
    cluster: Option<&mut Box<dyn Cluster>>,
    io: &mut Io<'_>,
) -> Result<There, Failure> {
    let Some(cluster) = cluster else { return Ok(There::default()) };
    progress(io, true, || "reading the cluster".to_owned())?;
    cluster.there().map_err(Failure::Cluster)
}
