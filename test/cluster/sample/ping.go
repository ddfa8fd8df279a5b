package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

const pingLimit = 4 * time.Second

// probePing sends one echo request by a ping socket, which needs no capability, and compares the reply with it.
func probePing(args []string) error {
	address, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	size := 56
	if len(args) > 1 {
		if size, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	domain, protocol, request, reply := syscall.AF_INET, syscall.IPPROTO_ICMP, byte(8), byte(0)
	var target syscall.Sockaddr
	if address.Is4() {
		target = &syscall.SockaddrInet4{Addr: address.As4()}
	} else {
		domain, protocol, request, reply = syscall.AF_INET6, syscall.IPPROTO_ICMPV6, 128, 129
		target = &syscall.SockaddrInet6{Addr: address.As16()}
	}
	fd, err := syscall.Socket(domain, syscall.SOCK_DGRAM, protocol)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer syscall.Close(fd)
	// ip(7) IP_RECVERR and ipv6(7) IPV6_RECVERR: errors that routers report come out of the next call.
	if address.Is4() {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, 11, 1)
	} else {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, 25, 1)
	}
	limit := syscall.NsecToTimeval(int64(pingLimit))
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit)
	if err := syscall.Connect(fd, target); err != nil {
		return errors.New(errorText(err))
	}
	packet := make([]byte, 8+size)
	packet[0] = request
	binary.BigEndian.PutUint16(packet[6:], uint16(os.Getpid()))
	for i := range packet[8:] {
		packet[8+i] = byte(i)
	}
	if _, err := syscall.Write(fd, packet); err != nil {
		return errors.New(errorText(err))
	}
	answer := make([]byte, 65536)
	n, err := syscall.Read(fd, answer)
	if errors.Is(err, syscall.EAGAIN) {
		return errors.New("no reply")
	}
	if err != nil {
		return errors.New(errorText(err))
	}
	if n < 8 || answer[0] != reply || !bytes.Equal(answer[6:n], packet[6:]) {
		return fmt.Errorf("another answer: type %d, %d bytes", answer[0], n)
	}
	fmt.Printf("reply %d bytes\n", n-8)
	return nil
}
