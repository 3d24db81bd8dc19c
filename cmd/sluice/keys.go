package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/store"
)

type keysCmd struct {
	Create createKeyCmd `cmd:"" help:"Make an access key and print it; its secret is shown only now."`
	List   listKeysCmd  `cmd:"" help:"List access keys without their secrets."`
	Delete deleteKeyCmd `cmd:"" help:"Delete an access key; it stops working within a second."`
}

// withPeople opens the store and what it and the policy directory say of principals.
func withPeople(ctx context.Context, cfg *config.Config, do func(*store.Store, *principal.Directory) error) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	people, err := principal.Open(slog.New(slog.DiscardHandler), st, nil, principal.Config{Dir: cfg.PolicyDir, Account: cfg.Account})
	if err != nil {
		return err
	}
	return do(st, people)
}

type createKeyCmd struct {
	User   string   `default:"user" aliases:"principal" help:"Name of the user whose key it is; made if there is none."`
	Policy []string `placeholder:"POLICY" help:"IAM policy to attach to the user: a name or ARN such as IVSReadOnlyAccess, or a .json file with a document. May be given several times."`
}

// Run makes a key in the configured account.
func (k createKeyCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	return withPeople(ctx, cfg, func(st *store.Store, people *principal.Directory) error {
		arn := principal.ARN(cfg.Account, principal.User, k.User)
		_, err := people.Find(ctx, arn)
		if err != nil && !errors.Is(err, live.NotFound) {
			return err
		}
		if err != nil || len(k.Policy) > 0 {
			if err := people.Change(ctx, cfg.Account, k.User, true, attach(k.Policy)); err != nil {
				return err
			}
		}
		key, err := node.NewAccessKey(cfg.Account, k.User, time.Now())
		if err != nil {
			return err
		}
		if err := st.CreateAccessKey(ctx, key); err != nil {
			return err
		}
		fmt.Fprintf(io.stdout, "AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", key.ID, key.Secret)
		if p, err := people.Find(ctx, arn); err == nil && len(p.Policies) == 0 {
			fmt.Fprintf(io.stderr, "%s has no policies and may do nothing yet: sluice users attach %s IVSFullAccess\n", arn, k.User)
		}
		return nil
	})
}

type listKeysCmd struct{}

// keyPage is how many keys are read at a time.
const keyPage = 500

// Run prints a table of the configured account's keys.
func (listKeysCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	w := tabwriter.NewWriter(io.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCESS KEY\tPRINCIPAL\tACCOUNT\tADMINISTRATOR\tCREATED")
	for after := ""; ; {
		keys, err := st.ListAccessKeys(ctx, cfg.Account, after, keyPage)
		if err != nil {
			return err
		}
		for _, k := range keys {
			fmt.Fprintf(w, "%s\t%s\t%s\t%t\t%s\n", k.ID, k.Principal, k.Account, k.Admin, k.Created.UTC().Format(time.RFC3339))
			after = k.ID
		}
		if len(keys) < keyPage {
			return w.Flush()
		}
	}
}

type deleteKeyCmd struct {
	ID string `arg:"" help:"Access key id."`
}

// Run deletes one key.
func (k deleteKeyCmd) Run(ctx context.Context, cfg *config.Config) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.DeleteAccessKey(ctx, k.ID)
}

type usersCmd struct {
	List   listUsersCmd  `cmd:"" help:"List users and roles with their policies."`
	Attach attachCmd     `cmd:"" help:"Attach IAM policies to a user, who is made if there is none."`
	Detach detachCmd     `cmd:"" help:"Take IAM policies from a user."`
	Delete deleteUserCmd `cmd:"" help:"Delete a user, with all keys."`
}

type listUsersCmd struct{}

// Run prints a table of the configured account's users and roles.
func (listUsersCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	return withPeople(ctx, cfg, func(_ *store.Store, people *principal.Directory) error {
		all, invalid, err := people.All(ctx, cfg.Account)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(io.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "PRINCIPAL\tATTACHED POLICIES\tINLINE POLICIES")
		for _, p := range all {
			policies := strings.Join(p.Attached, ",")
			if err := invalid[p.ARN]; err != nil {
				policies = "invalid: " + err.Error()
			}
			fmt.Fprintf(w, "%s\t%s\t%d\n", p.ARN, policies, len(p.Policies)-len(p.Attached))
		}
		return w.Flush()
	})
}

type attachCmd struct {
	User   string   `arg:"" help:"Name of the user."`
	Policy []string `arg:"" help:"Names or ARNs of policies, or .json files with a document."`
}

// Run attaches policies to a user in the store.
func (a attachCmd) Run(ctx context.Context, cfg *config.Config) error {
	return withPeople(ctx, cfg, func(_ *store.Store, people *principal.Directory) error {
		return people.Change(ctx, cfg.Account, a.User, true, attach(a.Policy))
	})
}

// attach adds policies to a Spec; a file becomes an inline policy of the file's name.
func attach(policies []string) func(*principal.Spec) error {
	return func(s *principal.Spec) error {
		for _, ref := range policies {
			name, isFile := strings.CutSuffix(filepath.Base(ref), ".json")
			if !isFile {
				s.Policies = append(s.Policies, ref)
				continue
			}
			doc, err := os.ReadFile(ref)
			if err != nil {
				return err
			}
			if !json.Valid(doc) {
				return fmt.Errorf("%s is not JSON", ref)
			}
			if s.Inline == nil {
				s.Inline = map[string]json.RawMessage{}
			}
			s.Inline[name] = doc
		}
		return nil
	}
}

type detachCmd struct {
	User   string   `arg:"" help:"Name of the user."`
	Policy []string `arg:"" help:"Names or ARNs of attached policies, or names of inline ones."`
}

// Run takes policies from a user in the store.
func (d detachCmd) Run(ctx context.Context, cfg *config.Config) error {
	return withPeople(ctx, cfg, func(_ *store.Store, people *principal.Directory) error {
		return people.Change(ctx, cfg.Account, d.User, false, func(s *principal.Spec) error {
			for _, ref := range d.Policy {
				if _, ok := s.Inline[ref]; ok {
					delete(s.Inline, ref)
					continue
				}
				arn, err := principal.PolicyARN(cfg.Account, ref)
				if err != nil {
					return err
				}
				at := slices.Index(s.Policies, arn)
				if at < 0 {
					return fmt.Errorf("user %s has no policy %s", d.User, ref)
				}
				s.Policies = slices.Delete(s.Policies, at, at+1)
			}
			return nil
		})
	})
}

type deleteUserCmd struct {
	User string `arg:"" help:"Name of the user."`
}

// Run deletes a user from the store, and the user's keys. A user of the policy directory
// loses the keys.
func (d deleteUserCmd) Run(ctx context.Context, cfg *config.Config) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.DeletePrincipal(ctx, principal.ARN(cfg.Account, principal.User, d.User))
}
