// client uses client-go as controllers do, against the cluster of KUBECONFIG: typed (JSON and protobuf), dynamic and
// metadata clients, discovery, server-side apply, pages, streamed lists, watches that wait, an election, tokens. It
// says "all fine", or panics where an answer was not as from a cluster. The test is tests/twin/serve/test_go_clients.py.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/retry"
)

const here = "default"

var (
	maps     = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	adapters = schema.GroupVersionResource{Group: "model.aibrix.ai", Version: "v1alpha1", Resource: "modeladapters"}
)

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	config.QPS, config.Burst = 200, 200
	inProtobuf := rest.CopyConfig(config)
	inProtobuf.ContentType = runtime.ContentTypeProtobuf
	inProtobuf.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	for _, each := range []*rest.Config{config, inProtobuf} {
		client := kubernetes.NewForConfigOrDie(each)
		typed(ctx, client)
		applied(ctx, client)
	}
	client := kubernetes.NewForConfigOrDie(config)
	mapped(client)
	extracted(ctx, client, config)
	untyped(ctx, config)
	paged(ctx, client)
	informed(ctx, client)
	waited(ctx, client)
	elected(ctx, client)
	identified(ctx, client, config)
	fmt.Println("all fine")
}

func typed(ctx context.Context, client kubernetes.Interface) {
	api := client.CoreV1().ConfigMaps(here)
	made, err := api.Create(ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "go"}, Data: map[string]string{"a": "b"}}, meta.CreateOptions{})
	must(err)
	stale := made.DeepCopy()
	must(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := api.Get(ctx, "go", meta.GetOptions{})
		must(err)
		found.Data["c"] = "d"
		_, err = api.Update(ctx, found, meta.UpdateOptions{})
		return err
	}))
	_, err = api.Update(ctx, stale, meta.UpdateOptions{})
	expect("a stale update conflicts", apierrors.IsConflict(err))
	must(api.Delete(ctx, "go", meta.DeleteOptions{Preconditions: meta.NewUIDPreconditions(string(made.UID))}))
	_, err = api.Get(ctx, "go", meta.GetOptions{})
	expect("what is deleted is not found", apierrors.IsNotFound(err))
}

func applied(ctx context.Context, client kubernetes.Interface) {
	api := client.CoreV1().ConfigMaps(here)
	wanted := func(value string) *applycore.ConfigMapApplyConfiguration {
		return applycore.ConfigMap("applied", here).WithData(map[string]string{"a": value})
	}
	_, err := api.Apply(ctx, wanted("1"), meta.ApplyOptions{FieldManager: "one"})
	must(err)
	_, err = api.Apply(ctx, wanted("2"), meta.ApplyOptions{FieldManager: "two"})
	expect("another's field conflicts", apierrors.IsConflict(err) && apierrors.HasStatusCause(err, meta.CauseTypeFieldManagerConflict))
	forced, err := api.Apply(ctx, wanted("2"), meta.ApplyOptions{FieldManager: "two", Force: true})
	must(err)
	mine, err := applycore.ExtractConfigMap(forced, "two")
	must(err)
	expect("what was applied can be extracted", mine.Data["a"] == "2")
	must(api.Delete(ctx, "applied", meta.DeleteOptions{}))
}

func mapped(client kubernetes.Interface) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	found, err := mapper.RESTMapping(schema.GroupKind{Group: "model.aibrix.ai", Kind: "ModelAdapter"})
	must(err)
	expect("the kind has a resource", found.Resource.Resource == "modeladapters")
}

// extracted reads the whole OpenAPI document, in protobuf, to tell whose fields are whose.
func extracted(ctx context.Context, client kubernetes.Interface, config *rest.Config) {
	api := dynamic.NewForConfigOrDie(config).Resource(adapters).Namespace(here)
	wanted := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "metadata": map[string]any{"name": "extracted"},
		"spec": map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"app": "none"}}, "artifactURL": "hf://acme/extracted"},
	}}
	applied, err := api.Apply(ctx, "extracted", wanted, meta.ApplyOptions{FieldManager: "go"})
	must(err)
	extractor, err := applymeta.NewUnstructuredExtractor(client.Discovery())
	must(err)
	mine, err := extractor.Extract(applied, "go")
	must(err)
	url, _, _ := unstructured.NestedString(mine.Object, "spec", "artifactURL")
	_, filled, _ := unstructured.NestedString(mine.Object, "spec", "schedulerName")
	expect("mine is what I applied, and no default", url == "hf://acme/extracted" && !filled)
	must(api.Delete(ctx, "extracted", meta.DeleteOptions{}))
}

func untyped(ctx context.Context, config *rest.Config) {
	api := dynamic.NewForConfigOrDie(config).Resource(maps).Namespace(here)
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "dynamic"}}}
	_, err := api.Create(ctx, object, meta.CreateOptions{})
	must(err)
	_, err = api.Patch(ctx, "dynamic", types.JSONPatchType, []byte(`[{"op":"add","path":"/data","value":{"a":"b"}}]`), meta.PatchOptions{})
	must(err)
	part, err := metadata.NewForConfigOrDie(config).Resource(maps).Namespace(here).Get(ctx, "dynamic", meta.GetOptions{})
	must(err)
	expect("metadata are the object's", part.Name == "dynamic" && part.UID != "")
	must(api.Delete(ctx, "dynamic", meta.DeleteOptions{}))
}

func paged(ctx context.Context, client kubernetes.Interface) {
	api := client.CoreV1().ConfigMaps(here)
	for number := range 12 {
		name := fmt.Sprintf("page-%02d", number)
		_, err := api.Create(ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"paged": "yes"}}}, meta.CreateOptions{})
		must(err)
	}
	seen := 0
	pages := pager.New(pager.SimplePageFunc(func(options meta.ListOptions) (runtime.Object, error) { return api.List(ctx, options) }))
	pages.PageSize = 5
	must(pages.EachListItem(ctx, meta.ListOptions{LabelSelector: "paged=yes"}, func(runtime.Object) error { seen++; return nil }))
	expect("all pages are read", seen == 12)
	must(api.DeleteCollection(ctx, meta.DeleteOptions{}, meta.ListOptions{LabelSelector: "paged=yes"}))
}

func informed(ctx context.Context, client kubernetes.Interface) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(here))
	informer := factory.Core().V1().ConfigMaps().Informer()
	gone := make(chan string, 10)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(old any) { gone <- old.(*core.ConfigMap).Name }})
	must(err)
	stop := make(chan struct{})
	defer close(stop)
	factory.Start(stop)
	expect("the cache is filled", cache.WaitForCacheSync(ctx.Done(), informer.HasSynced))
	api := client.CoreV1().ConfigMaps(here)
	_, err = api.Create(ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "brief"}}, meta.CreateOptions{})
	must(err)
	must(api.Delete(ctx, "brief", meta.DeleteOptions{}))
	select {
	case name := <-gone:
		expect("the informer saw it go", name == "brief")
	case <-ctx.Done():
		panic("the informer saw nothing")
	}
}

func waited(ctx context.Context, client kubernetes.Interface) {
	api := client.CoreV1().ConfigMaps(here)
	made, err := api.Create(ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "awaited"}}, meta.CreateOptions{})
	must(err)
	go func() {
		_, err := api.Patch(ctx, "awaited", types.MergePatchType, []byte(`{"data":{"ready":"yes"}}`), meta.PatchOptions{})
		must(err)
	}()
	one := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", here, fields.OneTermEqualSelector("metadata.name", made.Name))
	_, err = watchtools.UntilWithSync(ctx, one, &core.ConfigMap{}, nil, func(event watch.Event) (bool, error) {
		return event.Object.(*core.ConfigMap).Data["ready"] == "yes", nil
	})
	must(err)
}

func elected(ctx context.Context, client kubernetes.Interface) {
	leading := make(chan string, 2)
	run := func(ctx context.Context, name string) {
		lock := &resourcelock.LeaseLock{LeaseMeta: meta.ObjectMeta{Name: "go", Namespace: here}, Client: client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: name}}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leading <- name }, OnStoppedLeading: func() {}},
		})
	}
	first, resign := context.WithCancel(ctx)
	go run(first, "first")
	expect("one leads", <-leading == "first")
	go run(ctx, "second")
	resign()
	expect("then the other", <-leading == "second")
}

func identified(ctx context.Context, client kubernetes.Interface, config *rest.Config) {
	_, err := client.CoreV1().ServiceAccounts(here).Create(ctx, &core.ServiceAccount{ObjectMeta: meta.ObjectMeta{Name: "bot"}}, meta.CreateOptions{})
	must(err)
	issued, err := client.CoreV1().ServiceAccounts(here).CreateToken(ctx, "bot", &authentication.TokenRequest{}, meta.CreateOptions{})
	must(err)
	bots := rest.AnonymousClientConfig(config)
	bots.BearerToken = issued.Status.Token
	_, err = kubernetes.NewForConfigOrDie(bots).CoreV1().Pods(here).List(ctx, meta.ListOptions{})
	expect("the bot may not list pods", apierrors.IsForbidden(err))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(what string, holds bool) {
	if !holds {
		panic("not so: " + what)
	}
}
