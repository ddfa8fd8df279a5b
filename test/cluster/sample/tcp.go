package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	banner     = "welcome\n"
	stallLimit = 10 * time.Minute
)

// serveTCP listens on one port per habit. Nothing listens on 7009.
func serveTCP() error {
	failed := make(chan error)
	finFirst := &finFirst{}
	for _, server := range []struct {
		name, address string
		serve         func(*net.TCPConn)
	}{
		{"echo", ":7001", func(conn *net.TCPConn) { io.Copy(conn, conn) }},
		{"half-close", ":7002", countUntilEOF},
		{"reset", ":7003", resetAfterByte},
		{"speak-first", ":7004", greetThenEcho},
		{"fin-first", ":7005", finFirst.serve},
		{"stalled", ":7007", func(*net.TCPConn) { time.Sleep(stallLimit) }},
		{"serial", ":7008", sendSerial},
	} {
		go func() { failed <- listen(server.name, server.address, server.serve) }()
	}
	go func() { failed <- echoDatagrams(":7006") }()
	go func() { failed <- finFirst.report(":7080") }()
	return <-failed
}

func countUntilEOF(conn *net.TCPConn) {
	digest, err := digestOf(conn)
	if err != nil {
		log.Printf("half-close: %v after %v", err, digest)
		return
	}
	fmt.Fprintln(conn, digest)
}

func resetAfterByte(conn *net.TCPConn) {
	conn.Read(make([]byte, 1))
	conn.SetLinger(0) // makes the close a RST
}

func greetThenEcho(conn *net.TCPConn) {
	io.WriteString(conn, banner)
	io.Copy(conn, conn)
}

// finFirst sends a line and a FIN, and then counts what the client still sends.
type finFirst struct {
	sync.Mutex
	last struct {
		Connections int    `json:"connections"`
		Bytes       int64  `json:"bytes"`
		SHA256      string `json:"sha256"`
		End         string `json:"end"`
	}
}

func (f *finFirst) serve(conn *net.TCPConn) {
	io.WriteString(conn, "bye\n")
	conn.CloseWrite()
	digest, err := digestOf(conn)
	f.Lock()
	defer f.Unlock()
	f.last.Connections++
	f.last.Bytes, f.last.SHA256, f.last.End = digest.bytes, digest.sha256, "eof"
	if err != nil {
		f.last.End = errorText(err)
	}
	log.Printf("fin-first: %+v", f.last)
}

// report answers GET /last with what the last connection that ended had sent.
func (f *finFirst) report(address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /last", func(w http.ResponseWriter, _ *http.Request) {
		f.Lock()
		defer f.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(f.last)
	})
	return http.ListenAndServe(address, mux)
}

func echoDatagrams(address string) error {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	log.Printf("udp echo: listening on %s", address)
	buffer := make([]byte, 65535)
	for {
		n, peer, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		conn.WriteTo(buffer[:n], peer)
	}
}
