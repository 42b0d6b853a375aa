package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startLimit = 2 * time.Minute        // from the first process to "ready"
	stopLimit  = 10 * time.Second       // from SIGTERM to SIGKILL, for each part
	pause      = 500 * time.Millisecond // between the end of a part and its next start
	poll       = 50 * time.Millisecond  // between two looks at whether it is ready
)

// supervise brings the control plane up in dir, keeps it up until ctx ends, and takes it down in the reverse order.
func supervise(ctx context.Context, dir string, port int, orders <-chan string) error {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another control plane", dir)
	}
	if port == 0 {
		if port, err = freePort(); err != nil {
			return err
		}
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", port)
	client, err := credentials(dir, server)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.yaml"), auditPolicy, 0o600); err != nil {
		return err
	}

	var ready atomic.Bool
	failed := make(chan error, 4) // one from each part
	parts := map[string]*part{}
	launch := func(name string, flags ...string) (stop func()) {
		part := &part{dir, name, flags, make(chan order)}
		parts[name] = part
		quit, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			part.keep(&ready, failed, quit)
		}()
		return func() { close(quit); <-done }
	}
	answers := func(path string) error {
		waiting, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v, see %s/*.log", startLimit, dir))
		defer cancel()
		return await(waiting, client, server+path, failed)
	}

	defer launch("etcd")()
	defer launch("apiserver", apiserverFlags(port)...)()
	if err := answers("/readyz"); err != nil {
		return err
	}
	defer launch("controller-manager", controllerFlags()...)()
	defer launch("scheduler", clientFlags()...)()
	// No pod can be created before the controllers have made this account.
	if err := answers("/api/v1/namespaces/default/serviceaccounts/default"); err != nil {
		return err
	}
	ready.Store(true)
	fmt.Printf("KUBECONFIG=%s\nMOAT_CLUSTER_AUDIT=%s\nMOAT_CLUSTER_PID=%d\nREADY=1\n",
		filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "audit.log"), os.Getpid())
	obey(ctx, parts, orders, func() error { return answers("/readyz") })
	return nil
}

// part is a process that is kept running, unless a test wants it otherwise.
type part struct {
	dir, name string
	flags     []string
	orders    chan order
}

// running is a process, and how it ends.
type running struct {
	*exec.Cmd
	exited chan struct{}
}

// keep runs the part until quit closes. A part that ends by itself is started again once everything was ready; before
// that it is a failure, which another start would not mend.
func (p *part) keep(ready *atomic.Bool, failed chan<- error, quit <-chan struct{}) {
	var process *running // nil while it is down
	due := time.After(0) // when it is to be started; nil if it runs or is kept down
	begin := func() (err error) {
		due = nil
		if process == nil {
			process, err = p.begin()
		}
		return err
	}
	ended := func(how error) bool {
		process, due = nil, time.After(pause)
		if ready.Load() {
			fmt.Fprintf(os.Stderr, "control-plane: %s: %v, starting it again\n", p.name, how)
			return false
		}
		failed <- fmt.Errorf("%s: %w, see %s", p.name, how, filepath.Join(p.dir, p.name+".log"))
		return true
	}
	for {
		select {
		case <-quit:
			process.stop()
			return
		case <-due:
			if err := begin(); err != nil && ended(err) {
				return
			}
		case <-process.ends():
			if ended(fmt.Errorf("ended: %v", process.ProcessState)) {
				return
			}
		case order := <-p.orders:
			switch order.verb {
			case kill:
				process.kill()
				process, due = nil, nil
				order.done <- nil
			case start:
				order.done <- begin()
			case stall:
				order.done <- process.signal(syscall.SIGSTOP)
			case resume:
				order.done <- process.signal(syscall.SIGCONT)
			default:
				order.done <- fmt.Errorf("no order is called %q", order.verb)
			}
		}
	}
}

// begin starts the process.
func (p *part) begin() (*running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	process := &running{exec.Command(self, append([]string{p.name}, p.flags...)...), make(chan struct{})}
	process.Dir, process.Stdout, process.Stderr = p.dir, log, log
	// In this process's group, Ctrl-C would reach every part at once.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Nothing is ever written to it. It closes when this process dies: see run.
	if _, err := process.StdinPipe(); err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = process.Wait()
		close(process.exited)
	}()
	return process, nil
}

// The methods of running take nil for a part that is down.

// ends is a channel that closes when the process has ended; none while there is no process.
func (r *running) ends() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.exited
}

// stop ends the process in order, if it can.
func (r *running) stop() {
	_ = r.signal(syscall.SIGTERM)
	_ = r.signal(syscall.SIGCONT) // a stalled process does not see the first
	if r == nil {
		return
	}
	select {
	case <-r.exited:
	case <-time.After(stopLimit):
		r.kill()
	}
}

// kill ends the process at once.
func (r *running) kill() {
	if r.signal(syscall.SIGKILL) == nil {
		<-r.exited
	}
}

func (r *running) signal(signal os.Signal) error {
	if r == nil {
		return errors.New("it does not run")
	}
	return r.Process.Signal(signal)
}

// await polls address until it answers 200 OK, a part fails or ctx ends.
func await(ctx context.Context, client *http.Client, address string, failed <-chan error) error {
	for {
		if answer, err := client.Get(address); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// freePort asks the system for a port that nobody listens on. Should another process take it before the API server
// does, the start fails and says so.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
