package load

import (
	"context"
	"encoding/xml"
	"fmt"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// Clear deletes all that the load has stored and gives up the uploads that it has left open. It comes after the last [Load.Run] and
// what looks at the history.
func (l *Load) Clear(ctx context.Context) error {
	keys := []string{}
	for i := range l.Keys {
		keys = append(keys, Key(i))
	}
	for i := range sources {
		keys = append(keys, source(i))
	}
	for _, key := range keys {
		if err := l.remove(ctx, key, ""); err != nil {
			return err
		}
	}
	answer, err := l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Query: "uploads="})
	if err != nil {
		return err
	}
	var open struct {
		IsTruncated bool
		Upload      []struct{ Key, UploadId string }
	}
	if err := xml.Unmarshal(answer.Body, &open); err != nil || answer.Status != 200 || open.IsTruncated {
		return fmt.Errorf("list the uploads of %s: %d %s, truncated %v (%w)", l.Bucket, answer.Status, answer.Code, open.IsTruncated, err)
	}
	for _, u := range open.Upload {
		if err := l.remove(ctx, u.Key, "uploadId="+sigv4.Escape(u.UploadId, false)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Load) remove(ctx context.Context, key, query string) error {
	answer, err := l.Client.Do(ctx, s3client.Request{Method: "DELETE", Bucket: l.Bucket, Key: key, Query: query})
	if err == nil && answer.Status != 204 {
		err = fmt.Errorf("delete %q %s: %d %s", key, query, answer.Status, answer.Code)
	}
	return err
}
