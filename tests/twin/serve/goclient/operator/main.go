// operator is a small one on controller-runtime: for each ModelAdapter a ConfigMap that it owns, a finalizer, a
// condition. It leads by a Lease and says on /healthz that it lives. The test is tests/twin/serve/test_go_clients.py.
package main

import (
	"context"
	"os"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "example.com/noted"

func anAdapter() *unstructured.Unstructured {
	adapter := &unstructured.Unstructured{}
	adapter.SetGroupVersionKind(schema.GroupVersionKind{Group: "model.aibrix.ai", Version: "v1alpha1", Kind: "ModelAdapter"})
	return adapter
}

type noter struct{ client.Client }

func (n noter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	adapter := anAdapter()
	if err := n.Get(ctx, request.NamespacedName, adapter); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !adapter.GetDeletionTimestamp().IsZero() {
		controllerutil.RemoveFinalizer(adapter, finalizer)
		return ctrl.Result{}, n.Update(ctx, adapter)
	}
	if controllerutil.AddFinalizer(adapter, finalizer) {
		return ctrl.Result{}, n.Update(ctx, adapter)
	}
	note := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "note-" + adapter.GetName(), Namespace: adapter.GetNamespace()}}
	if _, err := controllerutil.CreateOrUpdate(ctx, n.Client, note, func() error {
		base, _, err := unstructured.NestedString(adapter.Object, "spec", "baseModel")
		note.Data = map[string]string{"base": base}
		if err != nil {
			return err
		}
		return controllerutil.SetControllerReference(adapter, note, n.Scheme())
	}); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, n.condition(ctx, adapter)
}

func (n noter) condition(ctx context.Context, adapter *unstructured.Unstructured) error {
	if found, _, _ := unstructured.NestedSlice(adapter.Object, "status", "conditions"); len(found) > 0 {
		return nil
	}
	before := adapter.DeepCopy()
	noted := map[string]any{"type": "Noted", "status": "True", "reason": "Noted", "message": "", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}
	if err := unstructured.SetNestedSlice(adapter.Object, []any{noted}, "status", "conditions"); err != nil {
		return err
	}
	return n.Status().Patch(ctx, adapter, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func main() {
	ctrl.SetLogger(zap.New())
	lease := 4 * time.Second
	renew := 3 * time.Second
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme: scheme.Scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: os.Getenv("HEALTH"),
		LeaderElection: true, LeaderElectionID: "noter", LeaderElectionNamespace: "default", LeaseDuration: &lease, RenewDeadline: &renew,
	})
	must(err)
	must(manager.AddHealthzCheck("ping", healthz.Ping))
	must(ctrl.NewControllerManagedBy(manager).For(anAdapter()).Owns(&core.ConfigMap{}).Complete(noter{manager.GetClient()}))
	must(manager.Start(ctrl.SetupSignalHandler()))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
