package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// apart is the same upload with a client of its own, for another goroutine.
func (u upload) apart() *upload {
	c := *u.c
	u.c = &c
	return &u
}

func TestOfCompletionsAtOnceAllGiveTheSameAnswer(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for range 10 {
		u := begin(t, c, "k", nil)
		u.part(1, random(1000))
		answers := make([]*apitest.Response, 8)
		var wg sync.WaitGroup
		for i := range answers {
			v := u.apart()
			wg.Go(func() { answers[i] = v.complete(nil) })
		}
		wg.Wait()
		for _, r := range answers {
			require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
			require.Equal(t, string(answers[0].Body), string(r.Body))
		}
	}
}

func TestAnUploadIsCompletedOrAbortedNotBoth(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for i := range 20 {
		u := begin(t, c, fmt.Sprint("k", i), nil)
		p := random(1000 + i)
		u.part(1, p)
		var completed, aborted *apitest.Response
		var wg sync.WaitGroup
		v := u.apart()
		wg.Go(func() { completed = u.complete(nil) })
		wg.Go(func() { aborted = v.abort() })
		wg.Wait()
		if completed.Status == http.StatusOK {
			require.Equal(t, "NoSuchUpload", aborted.Code)
			require.True(t, bytes.Equal(p, get(c, u.key).Body))
		} else {
			require.Equal(t, "NoSuchUpload", completed.Code)
			require.Equal(t, http.StatusNoContent, aborted.Status)
			require.Equal(t, "NoSuchKey", get(c, u.key).Code)
		}
	}
}

func TestAPartSentManyTimesAtOnceIsOneOfThem(t *testing.T) {
	_, c := start(t, apitest.Options{})
	u := begin(t, c, "k", nil)
	bodies := map[string][]byte{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		v := u.apart()
		wg.Go(func() {
			p := random(300_000 + i)
			r := v.try(1, p, nil)
			mu.Lock()
			defer mu.Unlock()
			bodies[r.Header.Get("ETag")] = p
		})
	}
	wg.Wait()
	for etag := range bodies { // all but the one that was finished last are refused
		u.parts = []part{{1, etag, "", 0}}
		if r := u.complete(nil); r.Status == http.StatusOK {
			require.True(t, bytes.Equal(bodies[etag], get(c, "k").Body))
			return
		} else {
			require.Equal(t, "InvalidPart", r.Code)
		}
	}
	t.Fatal("no part is there")
}

func TestOfConditionalCompletionsOneWins(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for i := range 10 {
		key := fmt.Sprint("k", i)
		var won atomic.Int64
		var winner atomic.Value
		var wg sync.WaitGroup
		for j := range 4 {
			u := begin(t, c, key, nil)
			p := random(100 + j)
			u.part(1, p)
			v := u.apart()
			wg.Go(func() {
				r := v.complete(map[string]string{"If-None-Match": "*"})
				switch {
				case r.Status == http.StatusOK:
					won.Add(1)
					winner.Store(p)
				case r.Code != "PreconditionFailed" && r.Code != "ConditionalRequestConflict":
					t.Errorf("a loser is told %d %s", r.Status, r.Code)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
		require.Equal(t, winner.Load(), get(c, key).Body)
	}
}
