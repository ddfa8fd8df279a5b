package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const probeLimit = 10 * time.Second

type probe struct {
	arguments int // at least
	run       func([]string) error
}

var probes = map[string]probe{
	"get":       {1, probeGet},
	"tcp":       {1, probeTCP},
	"udp":       {2, probeUDP},
	"lookup":    {1, probeLookup},
	"ping":      {1, probePing},
	"halfclose": {2, probeHalfClose},
	"hold":      {1, probeHold},
	"transfer":  {4, probeTransfer},
	"requests":  {2, probeRequests},
	"write":     {2, func(args []string) error { return os.WriteFile(args[0], []byte(args[1]+"\n"), 0o644) }},
}

func probeGet(args []string) error {
	status, body, err := fetch(context.Background(), args[0], args[1:])
	if err != nil {
		return errors.New(errorText(err))
	}
	os.Stdout.Write(body)
	if status >= 400 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func probeTCP(args []string) error {
	begin := time.Now()
	conn, err := dial("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Printf("connected %d\n", time.Since(begin).Milliseconds())
	return conn.Close()
}

func probeUDP(args []string) error {
	conn, err := dial("udp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := make([]byte, 65535)
	if _, err := io.WriteString(conn, args[1]); err != nil {
		return errors.New(errorText(err))
	}
	n, err := conn.Read(answer)
	if err != nil {
		return errors.New(errorText(err))
	}
	fmt.Printf("%s\n", answer[:n])
	return nil
}

func probeHalfClose(args []string) error {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	conn, err := dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := sendAndFinish(conn.(*net.TCPConn), n)
	if err != nil {
		return errors.New(errorText(err))
	}
	fmt.Print(answer)
	if sent, _ := digestOf(io.LimitReader(pattern{}, n)); strings.TrimSpace(answer) != sent.String() {
		return fmt.Errorf("but sent %v", sent)
	}
	return nil
}

func sendAndFinish(conn *net.TCPConn, n int64) (string, error) {
	if _, err := io.CopyN(conn, pattern{}, n); err != nil {
		return "", err
	}
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, probeLimit)
	if err != nil {
		return nil, errors.New(errorText(err))
	}
	conn.SetDeadline(time.Now().Add(probeLimit))
	return conn, nil
}

func probeLookup(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	kind := "A"
	if len(args) > 1 {
		kind = strings.ToUpper(args[1])
	}
	answers, err := lookup(ctx, args[0], kind)
	if err != nil {
		return errors.New(errorText(err))
	}
	for _, answer := range answers {
		fmt.Println(answer)
	}
	return nil
}

func lookup(ctx context.Context, name, kind string) ([]string, error) {
	resolver := net.DefaultResolver
	switch kind {
	case "A":
		return texts(resolver.LookupNetIP(ctx, "ip4", name))
	case "AAAA":
		return texts(resolver.LookupNetIP(ctx, "ip6", name))
	case "TXT":
		return resolver.LookupTXT(ctx, name)
	case "PTR":
		return resolver.LookupAddr(ctx, name)
	case "CNAME":
		answer, err := resolver.LookupCNAME(ctx, name)
		return []string{answer}, err
	case "MX":
		records, err := resolver.LookupMX(ctx, name)
		return formatted(records, err, func(r *net.MX) string { return fmt.Sprint(r.Pref, " ", r.Host) })
	case "NS":
		records, err := resolver.LookupNS(ctx, name)
		return formatted(records, err, func(r *net.NS) string { return r.Host })
	case "SRV":
		_, records, err := resolver.LookupSRV(ctx, "", "", name)
		return formatted(records, err, func(r *net.SRV) string {
			return fmt.Sprint(r.Priority, " ", r.Weight, " ", r.Port, " ", r.Target)
		})
	}
	return nil, fmt.Errorf("unknown type %s", kind)
}

func texts[T fmt.Stringer](records []T, err error) ([]string, error) {
	return formatted(records, err, func(r T) string { return r.String() })
}

func formatted[T any](records []T, err error, format func(T) string) ([]string, error) {
	var lines []string
	for _, record := range records {
		lines = append(lines, format(record))
	}
	return lines, err
}

// errorText is short and without addresses, so that a test can compare it.
func errorText(err error) string {
	var timeout interface{ Timeout() bool }
	var lookup *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "no such host"
	case errors.As(err, &errno):
		return errno.Error() // connection refused, no route to host, connection reset by peer, …
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &lookup):
		return lookup.Err
	}
	return err.Error()
}
