// The sample application of the test cluster: one static program that is a web server, a store, a server with the
// habits that a data plane must survive, and the probes that tests run inside containers.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: sample [MODE]            MODE, or the variable MODE: web (default), store, tcp
       sample get URL [NAME:VALUE…]    print the body of a GET, sent with these headers
       sample tcp HOST:PORT            connect
       sample udp HOST:PORT TEXT       send a datagram, print the answer
       sample ping ADDRESS [BYTES]     send an ICMP echo request, print "reply N bytes" or the error
       sample lookup NAME [TYPE]       TYPE: A (default), AAAA, CNAME, MX, NS, PTR, SRV, TXT
       sample halfclose HOST:PORT N    send N bytes and a FIN, print the answer
       sample write FILE TEXT          write a file
  loads, which print JSON and take lines from stdin (load.go):
       sample hold HOST:PORT                           an idle connection to an echo server
       sample transfer down|up HOST:PORT BYTES RATE    RATE: bytes a second, 0 for no limit
       sample requests URL RATE [WANT]                 RATE: a second; WANT: text of a right answer`

func main() {
	stopOnSignal()
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{env("MODE", "web")}
	}
	if err := run(args[0], args[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	if mode := modes[name]; mode != nil && len(args) == 0 {
		log.SetOutput(os.Stdout)
		return mode()
	}
	if probe, ok := probes[name]; ok && len(args) >= probe.arguments {
		return probe.run(args)
	}
	fmt.Fprintln(os.Stderr, usage)
	os.Exit(2)
	return nil
}

var modes = map[string]func() error{"web": serveWeb, "store": serveStore, "tcp": serveTCP}

// stopOnSignal: the first process of a container has no default action for a signal.
func stopOnSignal() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		os.Exit(0)
	}()
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
