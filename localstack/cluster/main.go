// Command control-plane is a real Kubernetes control plane for tests: etcd, the API server, the controller manager and
// the scheduler, built from their published Go modules into this one program. There is no kubelet: nodes are objects
// that a test creates, and no container ever runs.
//
//	control-plane [--dir DIR] [--port PORT] [--detached]
//
// starts everything, prints KUBECONFIG=DIR/kubeconfig, MOAT_CLUSTER_AUDIT=DIR/audit.log, its own MOAT_CLUSTER_PID and READY=1, and stops on SIGTERM, SIGINT or
// when its standard input closes. DIR keeps the data, the keys and a log for each part, so the same DIR starts again as the
// same cluster; without --dir it is a temporary folder, gone at the end. Several can run at once, each with its own DIR.
// Standard input takes the orders of orders.go; with --detached it is not looked at.
//
// Each part is a process of its own, this program started again with the part's name: in one process they would fight
// over global flags, feature gates and signal handlers, and no test could kill one of them.
//
// parts.go says what the parts are, supervise.go keeps them running, credentials.go makes their keys.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(run(os.Args[1], os.Args[2:]))
	}
	flags := flag.NewFlagSet("control-plane", flag.ExitOnError) // the global set is full of the parts' flags
	dir := flags.String("dir", "", "folder for data, keys, kubeconfig and logs; made if missing (default a temporary one)")
	port := flags.Int("port", 0, "port of the API server on 127.0.0.1; 0 picks a free one")
	detached := flags.Bool("detached", false, "go on when standard input closes")
	_ = flags.Parse(os.Args[1:])
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := serve(*dir, *port, *detached); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

// serve returns when a signal, or the end of standard input, has stopped the control plane.
func serve(dir string, port int, detached bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	dir, err := folder(dir)
	if err != nil {
		return err
	}
	if os.Getenv(temporary) != "" {
		defer os.RemoveAll(dir)
	}
	orders := make(chan string)
	if detached {
		signal.Ignore(syscall.SIGPIPE) // whoever reads what it says may be gone
	} else {
		go func() {
			defer stop()
			read(os.Stdin, orders)
		}()
	}
	return supervise(ctx, dir, port, orders)
}

// temporary is a variable of the environment, set if the folder goes with the control plane. The parts inherit it.
const temporary = "MOAT_CLUSTER_TEMPORARY"

// folder makes the folder and returns its absolute path.
func folder(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "moat-cluster-")
		if err != nil {
			return "", err
		}
		return made, os.Setenv(temporary, "1")
	}
	if err := os.Unsetenv(temporary); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}
