package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const callLimit = 5 * time.Second

func serveWeb() error {
	address := ":" + env("PORT", "8080")
	log.Printf("web: listening on %s", address)
	return http.ListenAndServe(address, webHandler())
}

func webHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", identify)
	mux.HandleFunc("GET /hi", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi\n") })
	mux.HandleFunc("GET /env", showEnvironment)
	mux.HandleFunc("GET /file", showFile)
	mux.HandleFunc("GET /bytes/{n}", sendBytes)
	mux.HandleFunc("PUT /up", swallow)
	mux.HandleFunc("POST /up", swallow)
	mux.HandleFunc("GET /slow", answerLate)
	mux.HandleFunc("GET /call", call)
	mux.HandleFunc("GET /store", askStore)
	return mux
}

func identify(w http.ResponseWriter, r *http.Request) {
	hostname, _ := os.Hostname()
	w.Header().Set("Content-Type", "text/plain")
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "NAME=%s host=%s path=%s from=%s\n", os.Getenv("NAME"), hostname, r.URL.Path, from)
}

func showEnvironment(w http.ResponseWriter, _ *http.Request) {
	variables := map[string]string{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(variables)
}

func showFile(w http.ResponseWriter, r *http.Request) {
	content, err := os.ReadFile(r.FormValue("path"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(content)
}

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "not a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	io.CopyN(w, pattern{}, n)
}

func swallow(w http.ResponseWriter, r *http.Request) {
	digest, err := digestOf(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, digest)
}

func answerLate(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		fmt.Fprintf(w, "slept %d ms\n", ms)
	case <-r.Context().Done():
	}
}

// call makes a request from inside the cluster: the status and the body are the called one's.
// Each header=NAME:VALUE of the query is sent along. X-Call-Status is absent if there was no answer.
func call(w http.ResponseWriter, r *http.Request) {
	status, body, err := fetch(r.Context(), r.FormValue("url"), r.URL.Query()["header"])
	if err != nil {
		http.Error(w, errorText(err), http.StatusBadGateway)
		return
	}
	w.Header().Set("X-Call-Status", strconv.Itoa(status))
	w.WriteHeader(status)
	w.Write(body)
}

// A connection per request: each one goes through the Service's choice of a Pod again.
var client = &http.Client{Timeout: callLimit, Transport: &http.Transport{DisableKeepAlives: true}}

func fetch(ctx context.Context, url string, headers []string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		request.Header.Add(name, strings.TrimSpace(value))
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func askStore(w http.ResponseWriter, r *http.Request) {
	value, err := storeGet(env("STORE", "store:6380"), r.FormValue("key"))
	if err != nil {
		http.Error(w, errorText(err), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, value)
}

type digest struct {
	bytes  int64
	sha256 string
}

func (d digest) String() string { return fmt.Sprintf("bytes=%d sha256=%s", d.bytes, d.sha256) }

func digestOf(r io.Reader) (digest, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	return digest{n, fmt.Sprintf("%x", hash.Sum(nil))}, err
}

const patternBlock = "0123456789abcdef"

// pattern is an endless repetition of 0123456789abcdef, if read in multiples of 16 bytes as io.Copy does.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], patternBlock)
	}
	return n, nil
}
