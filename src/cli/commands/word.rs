//! `moat release`, `pause` and `resume`: what people say to a controller.

use moat_k8s::{Installation, Published};

use crate::args::{Pause, Release};
use crate::failure::Failure;
use crate::{Exit, Io};

pub(crate) fn release(arguments: &Release, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let Release { pod: named, undo, cluster } = arguments;
    let Some((namespace, pod)) = named
        .split_once('/')
        .filter(|(namespace, pod)| !namespace.is_empty() && !pod.is_empty() && !pod.contains('/'))
    else {
        let message = format!("`{named}` is no pod: give NAMESPACE/POD");
        return Err(Failure::Usage(message));
    };
    let mut cluster = cluster.reach(io)?;
    cluster.release(namespace, pod, !undo).map_err(Failure::Cluster)?;
    let next = if *undo {
        format!(
            "pod {named} is taken back: Moat gives its interface the groups of its policies again"
        )
    } else {
        format!(
            "pod {named} is released: Moat gives its interface the groups back that it wore before, and leaves it alone until \
             `moat release {named} --undo`\npolicies that select it say Released, NotEnforced; `moat status` shows it as \
             NotEnforced, Released"
        )
    };
    writeln!(io.stdout, "{next}")?;
    // It is said, whoever hears it.
    match cluster.published(Some(namespace)) {
        Ok(published) => hindrances(&published, io),
        Err(why) => Ok(writeln!(io.stderr, "note: whether somebody hears it is not known: {why}")?),
    }?;
    Ok(Exit::Clean)
}

pub(crate) fn pause(arguments: &Pause, is_paused: bool, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let Pause { installation, cluster } = arguments;
    let mut cluster = cluster.reach(io)?;
    cluster.pause(installation, is_paused).map_err(Failure::Cluster)?;
    let next = if is_paused {
        format!(
            "MoatInstallation {installation} pauses: what the cloud holds stays, and nothing of it is changed until `moat resume \
             {installation}`"
        )
    } else {
        format!(
            "MoatInstallation {installation} goes on: the cloud is brought to what the policies say"
        )
    };
    writeln!(io.stdout, "{next}")?;
    nobody_leads(installation, &cluster.leader(installation), io)?;
    Ok(Exit::Clean)
}

/// Says what keeps a word from being followed.
fn hindrances(published: &Published, io: &mut Io<'_>) -> Result<(), Failure> {
    if published.installations.is_empty() && published.unread.is_empty() {
        writeln!(
            io.stderr,
            "note: no controller has led in this cluster: it is done once one does"
        )?;
    }
    for Installation { object, leader } in &published.installations {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        nobody_leads(name, leader, io)?;
        let settings = object.status.as_ref().and_then(|status| status.settings.as_ref());
        if object.is_paused() {
            writeln!(
                io.stderr,
                "note: `{name}` pauses: it is done once `moat resume {name}` lets it go on"
            )?;
        } else if settings.is_some_and(|settings| settings.mode == "Observe") {
            writeln!(io.stderr, "note: `{name}` is in `mode: Observe`, and changes nothing")?;
        }
    }
    Ok(())
}

fn nobody_leads(
    installation: &str,
    leader: &Result<Option<String>, String>,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    match leader {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Ok(writeln!(
            io.stderr,
            "note: nobody leads `{installation}`: it is done once a controller does"
        )?),
        Err(why) => Ok(writeln!(
            io.stderr,
            "note: whether somebody leads `{installation}` is not known: {why}"
        )?),
    }
}
