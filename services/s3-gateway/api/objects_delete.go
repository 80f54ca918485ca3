package api

import (
	"net/http"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxDeletes is how many keys one DeleteObjects may name.
const maxDeletes = 1000

// deleteObjects is DeleteObjects: each key succeeds or fails by itself.
func (a *API) deleteObjects(w *Response, r *Request) error {
	var req xmlapi.Delete
	asked, err := a.readXML(r, "Delete", &req)
	if err != nil {
		return err
	}
	if asked.MD5 == nil && asked.Algorithm == checksum.None {
		return s3err.InvalidRequest.Msg("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	if len(req.Objects) == 0 || len(req.Objects) > maxDeletes {
		return s3err.MalformedXML
	}
	errs := make([]error, len(req.Objects))
	deletes := make([]meta.Delete, 0, len(req.Objects))
	for i, o := range req.Objects {
		if o.Key == "" {
			return s3err.MalformedXML
		}
		d, err := deleteOf(o)
		if errs[i] = err; err == nil {
			deletes = append(deletes, d)
		}
	}
	if len(deletes) > 0 {
		if err := a.deleteAll(r, deletes, errs); err != nil {
			return err
		}
	}
	return w.xml(http.StatusOK, deleteResult(req, errs))
}

// deleteAll deletes, and fills errs, where an entry without error stands for the next of deletes.
func (a *API) deleteAll(r *Request, deletes []meta.Delete, errs []error) error {
	ctx, cancel := a.step(r)
	defer cancel()
	results, err := a.Meta.DeleteObjects(ctx, r.Bucket.ID, deletes)
	if err != nil {
		return err
	}
	next := 0
	for i := range errs {
		if errs[i] == nil {
			errs[i] = results[next].Err
			next++
		}
	}
	return nil
}

func deleteOf(o xmlapi.DeleteObject) (meta.Delete, error) {
	if o.VersionID != "" {
		if err := checkVersion(o.VersionID); err != nil {
			return meta.Delete{}, err
		}
	}
	if o.LastModifiedTime != nil || o.Size != nil {
		return meta.Delete{}, s3err.NotImplemented.Msg("Conditions on LastModifiedTime and Size are not implemented.")
	}
	d := meta.Delete{Key: o.Key}
	if o.ETag != nil {
		d.Condition.IfMatch = etags([]string{*o.ETag})
	}
	return d, checkKey(o.Key)
}

func deleteResult(req xmlapi.Delete, errs []error) *xmlapi.Writer {
	doc := xmlapi.New("DeleteResult")
	for i, o := range req.Objects {
		switch {
		case errs[i] != nil:
			e := translate(errs[i])
			doc.Open("Error")
			doc.Text("Key", o.Key)
			doc.Optional("VersionId", o.VersionID)
			doc.Text("Code", string(e.Code))
			doc.Text("Message", e.Message)
			doc.Close("Error")
		case !req.Quiet:
			doc.Open("Deleted")
			doc.Text("Key", o.Key)
			doc.Optional("VersionId", o.VersionID)
			doc.Close("Deleted")
		}
	}
	doc.Close("DeleteResult")
	return doc
}

// see shows stages bytes that are in no pool.
func see(stages *checksum.Stages, p []byte) {
	if len(p) > 0 {
		b := buffer.FromBytes(p)
		stages.See(b)
		b.Release()
	}
}
