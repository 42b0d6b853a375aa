//! What can be typed.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use moat_k8s::configuration::{ClusterName, VpcId};

const EXIT_CODES: &str = "Exit codes: 0 done and clean, 2 done with findings or an expectation that is not met, 1 not done. Standing facts about the \
     VPC, which no edit of a policy changes, are shown and do not count.";

/// Cloud security groups that follow a cluster's network policies, exactly.
#[derive(Debug, Parser)]
#[command(name = "moat", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what would be done to the cloud, step by step, and what it cannot express
    Plan(Plan),
    /// Plan, carry the plan out, and read it back
    Apply(Apply),
    /// Give every interface back the groups it wore, and delete the groups of this cluster
    Uninstall(Uninstall),
    /// Report what is not enforced exactly, for pipelines
    Check(Check),
    /// Say why a flow passes or not, in the policies and in the cloud
    Explain(Explain),
    /// Compare two sets of policies by the flows they let through
    Diff(Diff),
    /// Show what of a cluster's pods is enforced and what is not, and why
    Status(Status),
    /// Give a pod the groups back that it wore before Moat, and keep it so
    Release(Release),
    /// Let a controller change nothing until `resume`
    Pause(Pause),
    /// Let a controller that pauses go on
    Resume(Pause),
    /// Follow a cluster, and keep the cloud as its policies say
    Controller(Controller),
    /// Print the custom resource definitions
    Crds,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Every path that the command reads: of objects, and of files with another role.
    pub(crate) fn reads(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = Vec::new();
        match self {
            Self::Plan(Plan { paths: objects, input, .. })
            | Self::Apply(Apply { plan: Plan { paths: objects, input, .. }, .. }) => {
                paths.extend(objects.iter().map(PathBuf::as_path));
                paths.extend(input.cloud.config.as_deref());
            }
            Self::Check(Check { paths: objects, input, expect, .. }) => {
                paths.extend(objects.iter().chain(expect).map(PathBuf::as_path));
                paths.extend(input.cloud.config.as_deref());
            }
            Self::Explain(Explain { arguments, input, flows, .. }) => {
                let ends = if flows.is_some() { 0 } else { 3 };
                paths.extend(arguments.iter().skip(ends).map(Path::new));
                paths.extend(flows.as_deref().into_iter().chain(input.cloud.config.as_deref()));
            }
            Self::Diff(Diff { sides, with, config, .. }) => {
                paths.extend(sides.iter().chain(with).map(PathBuf::as_path));
                paths.extend(config.as_deref());
            }
            Self::Uninstall(Uninstall { cloud, .. })
            | Self::Status(Status { cloud, .. })
            | Self::Controller(Controller { cloud, .. }) => {
                paths.extend(cloud.config.as_deref());
            }
            Self::Release(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Crds
            | Self::Completions { .. } => {}
        }
        paths
    }
}

/// The cloud, and how what is read is understood.
#[derive(Debug, Args)]
pub(crate) struct Input {
    #[command(flatten)]
    pub(crate) cloud: Cloud,
    #[command(flatten)]
    pub(crate) live: Live,
    /// Put one pod where a policy's selector finds none
    #[arg(long)]
    pub(crate) assume_pods: bool,
}

/// A cluster beside manifests.
#[derive(Debug, Args)]
pub(crate) struct Live {
    /// The cluster, by its context of the kubeconfig; objects of paths, if there are any, take the place of its own
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig, with its current context where none is named; instead of those of KUBECONFIG, or of `~/.kube/config`
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// A cluster that a command is about.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The context of the kubeconfig; default: the current one, or in a pod its service account
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig; instead of those of KUBECONFIG, or of `~/.kube/config`
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Which cloud, and whose groups in it.
#[derive(Debug, Args)]
pub(crate) struct Cloud {
    /// Which cloud
    #[arg(long, value_enum, default_value_t = Provider::Sim)]
    pub(crate) provider: Provider,
    /// The VPC of `--provider aws`; instead of the configuration's `vpc`
    #[arg(long, value_name = "ID")]
    pub(crate) vpc_id: Option<VpcId>,
    /// The configuration: YAML, `kind: Configuration`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The owner tag of the groups; instead of the configuration's `cluster`
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Keep the embedded VPC in this file between commands
    #[arg(long, value_name = "FILE", conflicts_with = "vpc_id")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Provider {
    /// A VPC in memory
    Sim,
    /// AWS, with the credentials and the region of the environment, or what `aws` of the configuration says
    Aws,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Plan {
    /// Kubernetes objects: files, folders (with all below them), or `-` for standard input
    #[arg(required_unless_present_any = ["context", "kubeconfig"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) plan: Plan,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// What has to be known before an account is changed.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask before an account is changed
    #[arg(long)]
    pub(crate) yes: bool,
    /// No controller keeps these groups: do not look in a cluster whether one does, before an account is changed
    #[arg(long)]
    pub(crate) no_controller: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    pub(crate) cloud: Cloud,
    #[command(flatten)]
    pub(crate) live: Live,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Controller {
    #[command(flatten)]
    pub(crate) cloud: Cloud,
    #[command(flatten)]
    pub(crate) cluster: Named,
}

#[derive(Debug, Args)]
#[command(
    after_help = "With `--provider aws` the groups that the pods' interfaces wear are read in the account, too.\n\n\
                  Exit codes: 0 every pod that a policy selects is enforced, 2 some are not, or nobody leads, 1 not done"
)]
pub(crate) struct Status {
    /// The namespace; default: all
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: Named,
    #[command(flatten)]
    pub(crate) cloud: Cloud,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = StatusOutput::Table)]
    pub(crate) output: StatusOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusOutput {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The pod
    #[arg(value_name = "NAMESPACE/POD")]
    pub(crate) pod: String,
    /// Take it back
    #[arg(long)]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) cluster: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The MoatInstallation: the `cluster` of its configuration
    #[arg(value_name = "INSTALLATION", default_value = "default")]
    pub(crate) installation: String,
    #[command(flatten)]
    pub(crate) cluster: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    /// Kubernetes objects: files, folders (with all below them), or `-` for standard input
    #[arg(required_unless_present_any = ["context", "kubeconfig"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    /// Flows with the verdict that their author wants; a different one is a failure
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Vec<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub(crate) output: CheckOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckOutput {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    override_usage = "moat explain [OPTIONS] FROM TO SERVICE PATH...\n       moat explain [OPTIONS] --flows FILE --output json PATH...\n       \
                      moat explain [OPTIONS] --context NAME FROM TO SERVICE [PATH...]"
)]
pub(crate) struct Explain {
    /// FROM TO SERVICE, then paths; with --flows every argument is a path.
    ///
    /// FROM and TO are `namespace/pod`, `namespace/kind/name` for a workload, or an address. SERVICE is `tcp/443`, `udp/53`,
    /// `sctp/9003`, `icmp/echo-request`, `icmp/3/4`, `icmpv6/2/0` or `proto/47`.
    #[arg(required = true, value_name = "FROM TO SERVICE PATH")]
    pub(crate) arguments: Vec<String>,
    #[command(flatten)]
    pub(crate) input: Input,
    /// The family of the flow, 4 or 6, where both ends have both
    #[arg(long, value_name = "4|6")]
    pub(crate) family: Option<String>,
    /// Answer many flows: one JSON object for each line of this file (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) flows: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the same flows, 2 different ones, 1 not done",
    override_usage = "moat diff [OPTIONS] OLD NEW\n       moat diff [OPTIONS] --context NAME NEW"
)]
pub(crate) struct Diff {
    /// The policies as they were, and as they are to be: a file, a folder, or `-` for standard input, each.
    ///
    /// With `--context` or `--kubeconfig`, OLD is the cluster, and NEW is the cluster with these policies.
    #[arg(required = true, num_args = 1..=2, value_name = "OLD NEW")]
    pub(crate) sides: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) live: Live,
    /// Workloads and namespaces that neither holds: files, folders, or `-`
    #[arg(long, value_name = "PATH")]
    pub(crate) with: Vec<PathBuf>,
    /// The configuration: YAML, `kind: Configuration`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Put one pod where a policy's selector finds none
    #[arg(long)]
    pub(crate) assume_pods: bool,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}
