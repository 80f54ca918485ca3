package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// explainJSON is whether somebody may do something, and why.
type explainJSON struct {
	Allowed   bool         `json:"allowed"`
	Unknown   string       `json:"unknown,omitempty"` // why it cannot be told
	Who       string       `json:"who"`
	Operation string       `json:"operation"`
	Needed    rightsJSON   `json:"needed"`
	Has       rightsJSON   `json:"has"`
	Groups    []string     `json:"groups"`
	LDAP      bool         `json:"ldap"` // whether there is a directory to ask
	Reasons   []reasonJSON `json:"reasons"`
}

type reasonJSON struct {
	Verdict string `json:"verdict"` // note, allows or refuses
	Source  string `json:"source"`
	Text    string `json:"text"`
}

func newExplain() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "explain SUBJECT ACTION BUCKET[/KEY]", Short: "Tell whether somebody may do something with a bucket, and why", Args: cobra.ExactArgs(3),
		Long: `Tell whether somebody may do something with a bucket, and why.

SUBJECT is an access key or the name of a built-in one, person:NAME for somebody in LDAP, or anonymous for who does not sign.
ACTION is an operation of S3 such as GetObject or s3:PutObject, or an HTTP method such as GET; without a KEY it is one on the bucket.`,
		Example: `  garage explain laptop GET music/song.flac
  garage explain person:ann DeleteBucket photos`,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &adminv1.ExplainAccessRequest{Action: args[1]}
			request.Bucket, request.Object, _ = strings.Cut(args[2], "/")
			if person, ok := strings.CutPrefix(args[0], "person:"); ok {
				request.Person = person
			} else if args[0] != "anonymous" {
				request.Key = args[0]
			}
			if request.GetBucket() == "" || args[0] == "" || args[0] == "person:" {
				return wrong("say who, what and which bucket: garage explain laptop GET music/song.flac")
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.ExplainAccess(ctx, request)
				if err != nil {
					return err
				}
				v := &explainJSON{Allowed: answer.GetAllowed(), Unknown: answer.GetUnknown(), Who: answer.GetWho(), Operation: answer.GetOperation(),
					Needed: newRightsJSON(answer.GetNeeded()), Has: newRightsJSON(answer.GetHas()), Groups: append([]string{}, answer.GetGroups()...),
					LDAP: answer.GetLdap(), Reasons: []reasonJSON{}}
				for _, r := range answer.GetReasons() {
					v.Reasons = append(v.Reasons, reasonJSON{rpc.EnumText(r.GetVerdict()), r.GetSource(), r.GetText()})
				}
				return c.show(cmd, v, func(w io.Writer) { v.write(w, answer) })
			})
		},
	}
	c.addFlags(cmd)
	return cmd
}

func (v *explainJSON) write(w io.Writer, answer *adminv1.ExplainAccessResponse) {
	verdict := "refused"
	switch {
	case v.Unknown != "":
		verdict = "it cannot be told, and is refused now: " + v.Unknown
	case v.Allowed:
		verdict = "allowed"
	}
	row(w, "answer", verdict)
	row(w, "who", firstOf(v.Who, "somebody who does not sign"))
	if len(v.Groups) > 0 {
		row(w, "groups", strings.Join(v.Groups, ", "))
	}
	row(w, "operation", fmt.Sprintf("%s, which needs %s", v.Operation, rightsText(answer.GetNeeded())))
	row(w, "rights", rightsText(answer.GetHas()))
	row(w, "")
	row(w, "STEP", "LOOKS AT", "VERDICT", "BECAUSE")
	for i, r := range v.Reasons {
		row(w, i+1, r.Source, r.Verdict, r.Text)
	}
}
