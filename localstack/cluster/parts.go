package main

import (
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// run runs one part in this process and returns its exit code. Its working directory is DIR, so that paths are short
// and relative: a Unix socket's path has at most 107 bytes. It lives as long as its standard input stays open: when the
// supervisor dies, however it dies, so does every part, and a temporary DIR with them.
func run(name string, args []string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if dir, err := os.Getwd(); err == nil && os.Getenv(temporary) != "" {
			_ = os.RemoveAll(dir)
		}
		os.Exit(1)
	}()
	var command *cobra.Command
	switch name {
	case "etcd":
		return etcd()
	case "apiserver":
		command = apiserver.NewAPIServerCommand()
	case "controller-manager":
		command = controllers.NewControllerManagerCommand()
	case "scheduler":
		command = scheduler.NewSchedulerCommand()
	default:
		fmt.Fprintf(os.Stderr, "control-plane: no part is called %q\n", name)
		return 2
	}
	command.SetArgs(args)
	return cli.Run(command)
}

// etcd serves a cluster of one on a Unix socket: no port, no peers. It leaves flushing to the system, so a crash of the
// machine may cost data; a killed process loses nothing.
func etcd() int {
	config := embed.NewConfig()
	config.Name = "control-plane"
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.Dir = "etcd"
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Host: "etcd.sock"}}
	config.ListenPeerUrls = nil
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // unset, it warns of every request
	server, err := embed.StartEtcd(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	select {
	case err := <-server.Err():
		fmt.Fprintln(os.Stderr, err)
		return 1
	case <-stop:
		server.Close()
		return 0
	}
}

// auditPolicy is a file of DIR, since the API server takes it from a file only.
//
//go:embed audit.yaml
var auditPolicy []byte

func apiserverFlags(port int) []string {
	return []string{
		"--etcd-servers=unix://etcd.sock",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		// It would look for an address outside of loopback, and fail on a machine without one, to tell pods where it is.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key", "--client-ca-file=ca.crt",
		"--authorization-mode=RBAC", "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=accounts.key", "--service-account-signing-key-file=accounts.key",
		"--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
		"--audit-policy-file=audit.yaml", "--audit-log-path=audit.log", "--audit-log-maxsize=1000000",
		// At zero, the default, it waits for a minute for every client that is still watching.
		"--shutdown-watch-termination-grace-period=1s",
	}
}

func controllerFlags() []string {
	return append(clientFlags(),
		"--root-ca-file=ca.crt", "--service-account-private-key-file=accounts.key",
		// Nobody renews the heartbeat of a node that is only an object: a Ready node stays Ready.
		"--node-monitor-grace-period=8760h",
	)
}

// clientFlags are for the parts that are clients of the API server and, here, serve nothing themselves.
func clientFlags() []string {
	return []string{
		"--kubeconfig=kubeconfig", "--leader-elect=false", "--secure-port=0",
		// The usual 20 to 50 requests a second make a test with a thousand namespaces wait for minutes.
		"--kube-api-qps=1000", "--kube-api-burst=2000",
	}
}
