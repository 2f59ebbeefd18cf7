// Podlogs is the part of a kubelet that serves logs, for pods that KWOK plays. KWOK can serve logs too, but a log
// that is followed there does not end with its pod, and takes an inotify instance each, of which a user has 128.
//
// Each pod prints the same lines at its start (--lines), and is silent from then on, unless its annotation
// fake.trainyard.dev/log-lines says how many a second it prints: the last of those lines, over and over. A log ends when
// its pod is not Running any more. Lines have the same stamps whenever they are asked for. A pod with the annotation
// fake.trainyard.dev/prints prints that at its start instead; it may be set for as long as the pod runs.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	rateAnnotation  = "fake.trainyard.dev/log-lines"
	linesAnnotation = "fake.trainyard.dev/prints"
	// A pod that was asked for may be known to the API server a moment before it is known here.
	patience = 5 * time.Second
)

type pod struct {
	uid     string
	started time.Time
	rate    float64
	own     [][]byte
	ended   chan struct{}
	endedAt time.Time
}

type pods struct {
	sync.Mutex
	byName map[string]*pod
	news   chan struct{}
}

type metadata struct {
	Namespace, Name, UID, ResourceVersion string
	Annotations                           map[string]string
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to serve")
	portFile := flag.String("port-file", "", "where to write the port once it is served")
	serving := flag.String("tls-certificate", "", "PEM file")
	servingKey := flag.String("tls-key", "", "PEM file")
	server := flag.String("server", "", "the API server's URL")
	authority := flag.String("ca", "", "PEM file of the API server's authority")
	certificate := flag.String("client-certificate", "", "PEM file")
	key := flag.String("client-key", "", "PEM file")
	linesFile := flag.String("lines", "", "what each pod prints at its start")
	flag.Parse()

	lines, err := read(*linesFile)
	fail(err)
	client, err := newClient(*authority, *certificate, *key)
	fail(err)
	known := &pods{byName: map[string]*pod{}, news: make(chan struct{})}
	go known.follow(client, *server)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		found := known.find(r.Context(), r.PathValue("namespace")+"/"+r.PathValue("pod"))
		if found == nil {
			http.Error(w, fmt.Sprintf("pod %q does not exist", r.PathValue("pod")), http.StatusNotFound)
			return
		}
		known.Lock()
		printed := found.own
		known.Unlock()
		if printed == nil {
			printed = lines
		}
		serve(w, r, found, printed)
	})
	listener, err := net.Listen("tcp", *listen)
	fail(err)
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	fail(os.WriteFile(*portFile+".new", []byte(port), 0o600))
	fail(os.Rename(*portFile+".new", *portFile))
	fail((&http.Server{Handler: mux}).ServeTLS(listener, *serving, *servingKey))
}

func serve(w http.ResponseWriter, r *http.Request, of *pod, lines [][]byte) {
	query := r.URL.Query()
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	stamped := query.Get("timestamps") == "true"
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/plain")
	flusher.Flush()

	for number := 0; ; number++ {
		at, more := of.lineAt(number, len(lines))
		if !more || time.Until(at) > 0 {
			if query.Get("follow") != "true" {
				return
			}
			flusher.Flush()
			of.wait(r.Context(), at, more)
		}
		if !more || r.Context().Err() != nil || of.endedBefore(at) {
			return
		}
		if at.Before(since) {
			continue
		}
		text := append(bytes.Clone(lines[min(number, len(lines)-1)]), '\n')
		if stamped {
			text = append([]byte(at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")+" "), text...)
		}
		if _, err := w.Write(text); err != nil {
			return
		}
	}
}

// lineAt is when the line of that number is printed; false for one that never is.
func (of *pod) lineAt(number, atStart int) (time.Time, bool) {
	if number < atStart {
		return of.started.Add(time.Duration(number) * time.Microsecond), true
	}
	if of.rate <= 0 || atStart == 0 {
		return time.Time{}, false
	}
	return of.started.Add(time.Duration(float64(number-atStart+1) / of.rate * float64(time.Second))), true
}

// wait returns when that moment has come (if there is one), when the pod has ended, or when nobody listens any more.
func (of *pod) wait(ctx context.Context, moment time.Time, comes bool) {
	var due <-chan time.Time
	if comes {
		timer := time.NewTimer(time.Until(moment))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-of.ended:
	case <-ctx.Done():
	case <-due:
	}
}

func (of *pod) endedBefore(moment time.Time) bool {
	select {
	case <-of.ended:
		return moment.After(of.endedAt)
	default:
		return false
	}
}

// find waits a while for a pod that is not known yet.
func (known *pods) find(ctx context.Context, name string) *pod {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		known.Lock()
		found, news := known.byName[name], known.news
		known.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow watches the pods that are Running, for ever.
func (known *pods) follow(client *http.Client, server string) {
	for {
		err := known.listAndWatch(client, server+"/api/v1/pods?fieldSelector=status.phase%3DRunning")
		log.Print("The watch of pods ended: ", err)
		time.Sleep(200 * time.Millisecond)
	}
}

func (known *pods) listAndWatch(client *http.Client, url string) error {
	var list struct {
		Metadata metadata
		Items    []struct{ Metadata metadata }
	}
	answer, err := get(client, url, "PartialObjectMetadataList")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return err
	}
	running := map[string]bool{}
	for _, item := range list.Items {
		running[item.Metadata.Namespace+"/"+item.Metadata.Name] = true
		known.runs(item.Metadata)
	}
	known.Lock()
	for name, one := range known.byName {
		if !running[name] {
			one.end()
		}
	}
	known.Unlock()

	changes, err := get(client, url+"&watch=true&resourceVersion="+list.Metadata.ResourceVersion, "PartialObjectMetadata")
	if err != nil {
		return err
	}
	defer changes.Body.Close()
	decoder := json.NewDecoder(bufio.NewReaderSize(changes.Body, 1<<16))
	for {
		var change struct {
			Type   string
			Object struct{ Metadata metadata }
		}
		if err := decoder.Decode(&change); err != nil {
			return err
		}
		switch change.Type {
		case "ADDED", "MODIFIED":
			known.runs(change.Object.Metadata)
		case "DELETED":
			known.isOver(change.Object.Metadata)
		default:
			return errors.New(change.Type)
		}
	}
}

func (known *pods) runs(found metadata) {
	known.Lock()
	defer known.Unlock()
	name := found.Namespace + "/" + found.Name
	var own [][]byte
	if text, said := found.Annotations[linesAnnotation]; said {
		own = split([]byte(text))
	}
	if old := known.byName[name]; old != nil && old.uid == found.UID {
		old.own = own
		return
	} else if old != nil {
		old.end()
	}
	rate, _ := strconv.ParseFloat(found.Annotations[rateAnnotation], 64)
	known.byName[name] = &pod{uid: found.UID, started: time.Now(), rate: rate, own: own, ended: make(chan struct{})}
	close(known.news)
	known.news = make(chan struct{})
}

func (known *pods) isOver(gone metadata) {
	known.Lock()
	defer known.Unlock()
	if found := known.byName[gone.Namespace+"/"+gone.Name]; found != nil && found.uid == gone.UID {
		found.end()
	}
}

// end is called with the lock of pods held.
func (of *pod) end() {
	if of.endedAt.IsZero() {
		of.endedAt = time.Now()
		close(of.ended)
	}
}

func get(client *http.Client, url, as string) (*http.Response, error) {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json;as="+as+";g=meta.k8s.io;v=v1")
	answer, err := client.Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		err = errors.New(answer.Status)
	}
	return answer, err
}

func newClient(authority, certificate, key string) (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	settings := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}, nil
}

func read(file string) ([][]byte, error) {
	content, err := os.ReadFile(file)
	return split(content), err
}

func split(content []byte) [][]byte {
	content = bytes.TrimSuffix(content, []byte("\n"))
	if len(content) == 0 {
		return nil
	}
	return bytes.Split(content, []byte("\n"))
}

func fail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
