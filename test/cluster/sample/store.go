package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"strings"
	"sync"
	"time"
)

// store is like a small database: one command per line, one line as the answer.
type store struct {
	sync.Mutex
	values map[string]string
}

func serveStore() error {
	s := &store{values: map[string]string{"greeting": "hello from the store"}}
	return listen("store", ":"+env("PORT", "6380"), s.serve)
}

func (s *store) serve(conn *net.TCPConn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		answer := s.answer(lines.Text())
		fmt.Fprintf(conn, "%s\n", answer)
		if answer == "BYE" {
			return
		}
	}
}

func (s *store) answer(line string) string {
	words := strings.SplitN(strings.TrimSpace(line), " ", 3)
	command := strings.ToUpper(words[0])
	switch {
	case command == "PING":
		return "PONG"
	case command == "QUIT":
		return "BYE"
	case command == "SET" && len(words) == 3:
		return s.set(words[1], words[2])
	case command == "GET" && len(words) == 2:
		return s.get(words[1])
	}
	return "ERROR use PING, SET key value, GET key, QUIT"
}

func (s *store) set(key, value string) string {
	s.Lock()
	defer s.Unlock()
	s.values[key] = value
	return "OK"
}

func (s *store) get(key string) string {
	s.Lock()
	defer s.Unlock()
	if value, ok := s.values[key]; ok {
		return value
	}
	return "ERROR no such key"
}

func storeGet(address, key string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, callLimit)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callLimit))
	fmt.Fprintf(conn, "GET %s\n", key)
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// listen serves every connection in a goroutine of its own and closes it afterwards.
func listen(name, address string, serve func(*net.TCPConn)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	log.Printf("%s: listening on %s", name, address)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			serve(conn.(*net.TCPConn))
		}()
	}
}
