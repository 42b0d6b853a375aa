package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// A test gives orders on standard input, a line each, VERB PART, and waits for the answer on standard output, OK=1 or
// FAILED=reason.
const (
	kill   = "kill"   // it ends by SIGKILL, and stays down until it is started
	start  = "start"  // it runs, and the API server is ready
	stall  = "stall"  // it hangs: SIGSTOP
	resume = "resume" // it goes on
)

// order is a verb for one part; what came of it is sent to done.
type order struct {
	verb string
	done chan error
}

// read sends the lines of in, until it ends.
func read(in io.Reader, lines chan<- string) {
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		lines <- scanner.Text()
	}
}

// obey hands the orders to their parts until ctx ends. ready waits for the API server.
func obey(ctx context.Context, parts map[string]*part, lines <-chan string, ready func() error) {
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			if err := give(line, parts, ready); err != nil {
				fmt.Printf("FAILED=%s: %v\n", line, err)
			} else {
				fmt.Println("OK=1")
			}
		}
	}
}

func give(line string, parts map[string]*part, ready func() error) error {
	verb, name, _ := strings.Cut(line, " ")
	part, known := parts[name]
	if !known {
		return fmt.Errorf("no part is called %q", name)
	}
	done := make(chan error, 1)
	part.orders <- order{verb, done}
	if err := <-done; err != nil || verb != start {
		return err
	}
	return ready()
}
