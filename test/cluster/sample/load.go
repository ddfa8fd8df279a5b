package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The loads hold connections open through whatever a test does to the path. They print one JSON object a line, with the time in
// milliseconds since 1970, and do a further round for each line on stdin; they end with stdin. An end of the far side in
// mid-connection is told as "EOF": nobody may mistake it for a whole transfer.

const (
	redialLimit    = 30 * time.Second
	redialPause    = 100 * time.Millisecond
	loadDialLimit  = 2 * time.Second
	progressPeriod = 100 * time.Millisecond
	loadWorkers    = 10
	sumLength      = sha256.Size
)

type event struct {
	Event   string         `json:"event"`
	AtMs    int64          `json:"atMs"`
	Error   string         `json:"error,omitempty"`
	Bytes   int64          `json:"bytes,omitempty"`
	SHA256  string         `json:"sha256,omitempty"`
	Matches bool           `json:"matches,omitempty"`
	Stats   *requestWindow `json:"stats,omitempty"`
}

var eventLock sync.Mutex

func emit(e event) {
	eventLock.Lock()
	defer eventLock.Unlock()
	e.AtMs = time.Now().UnixMilli()
	line, _ := json.Marshal(e)
	fmt.Println(string(line))
}

func stdinLines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		input := bufio.NewScanner(os.Stdin)
		for input.Scan() {
			lines <- input.Text()
		}
	}()
	return lines
}

// redial tries until somebody answers.
func redial(address string) (*net.TCPConn, error) {
	deadline := time.Now().Add(redialLimit)
	for {
		conn, err := net.DialTimeout("tcp", address, loadDialLimit)
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(redialPause)
	}
}

// hold ADDRESS: an idle connection to an echo server. A line makes it exchange a byte, over a new connection if the last one broke.
func probeHold(args []string) error {
	lines := stdinLines()
	for {
		if err := holdOne(args[0], lines); err != nil {
			emit(event{Event: "broken", Error: errorText(err)})
		}
		if _, more := <-lines; !more {
			return nil
		}
	}
}

func holdOne(address string, lines <-chan string) error {
	conn, err := redial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	echoes, failed := make(chan byte), make(chan error, 1)
	go func() {
		one := make([]byte, 1)
		for {
			if _, err := io.ReadFull(conn, one); err != nil {
				failed <- err
				return
			}
			echoes <- one[0]
		}
	}()
	for sent := byte(1); ; sent++ {
		if _, err := conn.Write([]byte{sent}); err != nil {
			return err
		}
		select {
		case err := <-failed:
			return err
		case got := <-echoes:
			if got != sent {
				return fmt.Errorf("sent %d and got %d", sent, got)
			}
			emit(event{Event: "echo"})
		}
		select {
		case err := <-failed:
			return err
		case <-echoes:
			return errors.New("a byte that nobody asked for")
		case _, more := <-lines:
			if !more {
				return nil
			}
		}
	}
}

// transfer down|up ADDRESS BYTES RATE: moves bytes that never repeat, RATE of them a second (0: as fast as can be), and compares
// SHA-256 with the far side. A line "BYTES RATE" begins the next transfer.
func probeTransfer(args []string) error {
	direction, address, size := args[0], args[1], strings.Join(args[2:4], " ")
	lines := stdinLines()
	for {
		if err := transferOne(direction, address, size); err != nil {
			emit(event{Event: "broken", Error: errorText(err)})
		}
		line, more := <-lines
		if !more {
			return nil
		}
		size = line
	}
}

func transferOne(direction, address, size string) error {
	n, rate, err := parseSize(size)
	if err != nil {
		return err
	}
	conn, err := redial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	emit(event{Event: "connected"})
	moved := &progress{}
	if direction == "up" {
		return transferUp(conn, n, rate, moved)
	}
	return transferDown(conn, n, rate, moved)
}

func transferDown(conn *net.TCPConn, n, rate int64, moved *progress) error {
	if _, err := fmt.Fprintf(conn, "%d %d\n", n, rate); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(sum, moved), conn, n); err != nil {
		return err
	}
	sent := make([]byte, sumLength)
	if _, err := io.ReadFull(conn, sent); err != nil {
		return err
	}
	if more, err := conn.Read(make([]byte, 1)); more != 0 || err != io.EOF {
		return fmt.Errorf("no end after the last byte: %w", err)
	}
	own := sum.Sum(nil)
	emit(event{Event: "done", Bytes: moved.bytes, SHA256: fmt.Sprintf("%x", own), Matches: string(own) == string(sent)})
	return nil
}

func transferUp(conn *net.TCPConn, n, rate int64, moved *progress) error {
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := io.ReadAll(conn)
		if err == nil && len(text) == 0 {
			err = io.EOF
		}
		answered <- answer{string(text), err}
	}()
	sum := sha256.New()
	_, err := io.CopyN(io.MultiWriter(conn, sum, moved), &paced{source: &serial{}, rate: rate}, n)
	if err == nil {
		err = conn.CloseWrite()
	}
	if err != nil {
		// The kernel tells a reset once, to whichever side asks first; the other one finds an end of file or a broken pipe after it.
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if first := <-answered; !errors.Is(err, syscall.ECONNRESET) && first.err != nil && !errors.Is(first.err, os.ErrDeadlineExceeded) {
			err = first.err
		}
		return err
	}
	got := <-answered
	if got.err != nil {
		return got.err
	}
	own := digest{n, fmt.Sprintf("%x", sum.Sum(nil))}
	emit(event{Event: "done", Bytes: moved.bytes, SHA256: own.sha256, Matches: strings.TrimSpace(got.text) == own.String()})
	return nil
}

func parseSize(text string) (n, rate int64, err error) {
	_, err = fmt.Sscanf(text, "%d %d", &n, &rate)
	return
}

// sendSerial is the far side of a transfer down: reads "BYTES RATE", sends the bytes and their SHA-256.
func sendSerial(conn *net.TCPConn) {
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	n, rate, err := parseSize(line)
	if err != nil {
		conn.SetLinger(0)
		return
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(conn, sum), &paced{source: &serial{}, rate: rate}, n); err != nil {
		log.Printf("serial: %v", err)
		return
	}
	conn.Write(sum.Sum(nil))
}

// serial is an endless sequence of 64-bit numbers, each scrambled (SplitMix64): no two parts of it are the same, so that bytes
// which are lost, doubled or in another order change the checksum.
type serial struct {
	next  uint64
	block [8]byte
	left  int
}

func (s *serial) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && s.left > 0 {
		n += s.rest(p[n:])
	}
	for ; len(p)-n >= 8; n += 8 {
		binary.LittleEndian.PutUint64(p[n:], s.number())
	}
	for n < len(p) {
		binary.LittleEndian.PutUint64(s.block[:], s.number())
		s.left = 8
		n += s.rest(p[n:])
	}
	return n, nil
}

func (s *serial) rest(p []byte) int {
	n := copy(p, s.block[8-s.left:])
	s.left -= n
	return n
}

func (s *serial) number() uint64 {
	s.next += 0x9E3779B97F4A7C15
	z := s.next
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// paced gives no more than rate bytes a second on average since the first.
type paced struct {
	source io.Reader
	rate   int64
	given  int64
	began  time.Time
}

func (p *paced) Read(b []byte) (int, error) {
	if p.rate > 0 {
		if p.began.IsZero() {
			p.began = time.Now()
		}
		time.Sleep(time.Duration(float64(p.given)/float64(p.rate)*float64(time.Second)) - time.Since(p.began))
	}
	n, err := p.source.Read(b)
	p.given += int64(n)
	return n, err
}

// progress tells now and then how many bytes have passed.
type progress struct {
	bytes int64
	told  time.Time
}

func (p *progress) Write(b []byte) (int, error) {
	p.bytes += int64(len(b))
	if time.Since(p.told) >= progressPeriod {
		p.told = time.Now()
		emit(event{Event: "progress", Bytes: p.bytes})
	}
	return len(b), nil
}

// requests URL RATE [WANT]: RATE requests a second over ten keep-alive connections, each of which waits for its answer. An answer
// without WANT counts as "elsewhere" and ends its connection, which would lead there for ever. A line prints the counts since the
// last one.
func probeRequests(args []string) error {
	address, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(args[1])
	if err != nil || rate <= 0 {
		return errors.New("RATE is a number of requests a second")
	}
	r := &requester{url: args[0], host: address.Host, period: time.Duration(loadWorkers) * time.Second / time.Duration(rate)}
	if len(args) > 2 {
		r.want = args[2]
	}
	if address.Port() == "" {
		r.host = net.JoinHostPort(address.Hostname(), "80")
	}
	r.window = newWindow()
	for i := range loadWorkers {
		go r.work(time.Duration(i) * r.period / loadWorkers)
	}
	for range stdinLines() {
		emit(event{Event: "stats", Stats: r.take()})
	}
	return nil
}

// requestWindow is what happened between two lines. Times are milliseconds; "since" the begin of the window.
type requestWindow struct {
	Ok           int            `json:"ok"`
	Elsewhere    int            `json:"elsewhere"`
	Failed       int            `json:"failed"`
	Errors       map[string]int `json:"errors"`
	Dials        int            `json:"dials"`
	DialErrors   map[string]int `json:"dialErrors"`
	Waiting      int            `json:"waiting"`      // for an answer, now
	OldestMs     int64          `json:"oldestMs"`     // how long the longest of these waits
	FirstOkMs    int64          `json:"firstOkMs"`    // -1: none
	LastFailedMs int64          `json:"lastFailedMs"` // -1: none
	LongestGapMs int64          `json:"longestGapMs"` // without an ok
	began        time.Time
	lastOk       time.Time
}

func newWindow() *requestWindow {
	now := time.Now()
	return &requestWindow{Errors: map[string]int{}, DialErrors: map[string]int{}, FirstOkMs: -1, LastFailedMs: -1, began: now, lastOk: now}
}

type requester struct {
	sync.Mutex
	url, host, want string
	period          time.Duration
	window          *requestWindow
	waiting         [loadWorkers]time.Time
	workers         int
}

func (r *requester) take() *requestWindow {
	r.Lock()
	defer r.Unlock()
	taken := r.window
	taken.gap()
	for _, since := range r.waiting {
		if !since.IsZero() {
			taken.Waiting++
			taken.OldestMs = max(taken.OldestMs, time.Since(since).Milliseconds())
		}
	}
	r.window = newWindow()
	return taken
}

func (w *requestWindow) gap() {
	w.LongestGapMs = max(w.LongestGapMs, time.Since(w.lastOk).Milliseconds())
}

func (r *requester) number() int {
	r.Lock()
	defer r.Unlock()
	r.workers++
	return r.workers - 1
}

func (r *requester) work(after time.Duration) {
	number := r.number()
	time.Sleep(after)
	var conn *keptConn
	for next := time.Now(); ; {
		next = next.Add(r.period)
		if conn == nil {
			conn = r.dial()
		}
		if conn != nil && !r.ask(number, conn) {
			conn.Close()
			conn = nil
		}
		if late := time.Since(next); late > r.period {
			next = time.Now() // what a stall kept from being asked is not made up for
		}
		time.Sleep(time.Until(next))
	}
}

type keptConn struct {
	net.Conn
	reader *bufio.Reader
}

func (r *requester) dial() *keptConn {
	conn, err := net.DialTimeout("tcp", r.host, loadDialLimit)
	r.Lock()
	defer r.Unlock()
	if err != nil {
		r.window.DialErrors[errorText(err)]++
		r.window.LastFailedMs = time.Since(r.window.began).Milliseconds()
		return nil
	}
	r.window.Dials++
	return &keptConn{conn, bufio.NewReader(conn)}
}

// ask answers whether the connection is still good. Not by net/http's client, which hides a broken connection by a new one.
func (r *requester) ask(number int, conn *keptConn) bool {
	r.wait(number, time.Now())
	body, err := conn.get(r.url)
	r.wait(number, time.Time{})
	r.Lock()
	defer r.Unlock()
	w := r.window
	switch {
	case err != nil:
		w.Failed++
		w.Errors[errorText(err)]++
		w.LastFailedMs = time.Since(w.began).Milliseconds()
	case !strings.Contains(body, r.want):
		w.Elsewhere++
		w.LastFailedMs = time.Since(w.began).Milliseconds()
	default:
		w.Ok++
		w.gap()
		w.lastOk = time.Now()
		if w.FirstOkMs < 0 {
			w.FirstOkMs = time.Since(w.began).Milliseconds()
		}
	}
	return err == nil && strings.Contains(body, r.want)
}

func (r *requester) wait(number int, since time.Time) {
	r.Lock()
	defer r.Unlock()
	r.waiting[number] = since
}

func (c *keptConn) get(address string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	if err := request.Write(c); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return string(body), err
}
