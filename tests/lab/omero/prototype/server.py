"""mini Blitz: a stand-in for the OMERO server at the level of Ice.  python -m miniblitz.server --data DIR [--port 4064] [--insecure 4063] ..."""
import argparse, json, sys, subprocess, signal
from .base import *
from . import services as sv, grid as gr, router as rt, rend
from .meta import META
from .store import Store, Grapher, Row, enum_classes
import omero.ObjectFactoryRegistrar as ofr
import omero.rtypes, omero.columns

ENUM_VALUES = {
    "PixelsType": ["bit", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float", "double", "complex", "double-complex"],
    "DimensionOrder": ["XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC"], "JobStatus": ["Submitted", "Resubmitted", "Queued", "Requeued", "Running", "Error", "Waiting", "Finished", "Cancelled"],
    "RenderingModel": ["rgb", "greyscale"], "Family": ["linear", "polynomial", "exponential", "logarithmic"], "EventType": ["Bootstrap", "Internal", "Initialize", "Task", "User", "Sessions", "Processor"],
    "ChecksumAlgorithm": ["Adler-32", "CRC-32", "MD5-128", "Murmur3-32", "Murmur3-128", "SHA1-160", "File-Size-64"], "Format": ["Zarr", "OMETiff", "PNG", "Fake", "Companion/JPEG"],
    "AdminPrivilege": ["Chgrp", "Chown", "DeleteFile", "DeleteManagedRepo", "DeleteOwned", "DeleteScriptRepo", "ModifyGroup", "ModifyGroupMembership", "ModifyUser", "ReadSession", "Sudo", "WriteFile", "WriteManagedRepo", "WriteOwned", "WriteScriptRepo"],
    "Illumination": ["Transmitted", "Epifluorescence", "Other"], "AcquisitionMode": ["WideField", "LaserScanningConfocalMicroscopy", "Other"], "ContrastMethod": ["Brightfield", "Phase", "Fluorescence", "Other"]}
COLORS = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 0, 255), (0, 255, 255), (255, 255, 0)]

STATELESS = {"getAdminService": ("omero.api.IAdmin", sv.AdminI), "getConfigService": ("omero.api.IConfig", sv.ConfigI), "getContainerService": ("omero.api.IContainer", sv.ContainerI),
    "getLdapService": ("omero.api.ILdap", sv.LdapI), "getPixelsService": ("omero.api.IPixels", sv.PixelsI), "getProjectionService": ("omero.api.IProjection", sv.ProjectionI),
    "getQueryService": ("omero.api.IQuery", sv.QueryI), "getRenderingSettingsService": ("omero.api.IRenderingSettings", sv.RenderingSettingsI),
    "getRepositoryInfoService": ("omero.api.IRepositoryInfo", sv.RepositoryInfoI), "getRoiService": ("omero.api.IRoi", sv.RoiI), "getScriptService": ("omero.api.IScript", gr.ScriptI),
    "getSessionService": ("omero.api.ISession", sv.SessionI), "getShareService": ("omero.api.IShare", sv.ShareI), "getTimelineService": ("omero.api.ITimeline", sv.TimelineI),
    "getTypesService": ("omero.api.ITypes", sv.TypesI), "getUpdateService": ("omero.api.IUpdate", sv.UpdateI), "getMetadataService": ("omero.api.IMetadata", sv.MetadataI),
    "sharedResources": ("omero.grid.SharedResources", gr.SharedResourcesI)}
STATEFUL = {"createExporter": ("omero.api.Exporter", sv.ExporterI), "createJobHandle": ("omero.api.JobHandle", sv.JobHandleI), "createRawFileStore": ("omero.api.RawFileStore", sv.RawFileStoreI),
    "createRawPixelsStore": ("omero.api.RawPixelsStore", sv.RawPixelsStoreI), "createRenderingEngine": ("omero.api.RenderingEngine", sv.RenderingEngineI),
    "createSearchService": ("omero.api.Search", sv.SearchI), "createThumbnailStore": ("omero.api.ThumbnailStore", sv.ThumbnailStoreI)}

def prx_of(name):
    pkg, n = name.rsplit(".", 1); return getattr(getattr(omero, pkg.split(".")[1]), n + "Prx")

class _SF(Svc):
    def __init__(self, sess, direct, control): Svc.__init__(self, sess); self.direct, self.control, self.detach, self.dead = direct, control, False, False
    def detachOnDestroy(self, current=None): self.detach = True
    def closeOnDestroy(self, current=None): self.detach = False
    def destroy(self, current=None):
        if self.dead: return
        self.dead = True
        self.b.remove(self.ident)
        self.sess.refs -= 1
        if not self.detach and self.sess.refs <= 0: self.b.kill(self.sess)
    def keepAlive(self, prx, current=None):
        if self.sess.closed: raise omero.RemovedSessionException("", "", "removed")
        self.sess.last = time.time(); return True
    def keepAllAlive(self, prxs, current=None): self.sess.last = time.time(); return 0
    def setCallback(self, cb, current=None): self.sess.clients[current.id.category] = self.b.reach(cb)
    def activeServices(self, current=None): return [n for n, s in self.sess.services.items() if getattr(s, "stateful", False)]
    def getByName(self, name, current=None):
        for m, (n, k) in STATELESS.items():
            if n == name and n.startswith("omero.api"): return omero.api.ServiceInterfacePrx.uncheckedCast(getattr(self, m)(current))
        if name in self.sess.services: return omero.api.ServiceInterfacePrx.uncheckedCast(self.b.prx(Ice.Identity(name, self.sess.uuid), self.direct))
        raise omero.ApiUsageException("", "", "unknown service " + name)
    def createByName(self, name, current=None):
        for m, (n, k) in STATEFUL.items():
            if n == name: return omero.api.StatefulServiceInterfacePrx.uncheckedCast(getattr(self, m)(current))
        raise omero.ApiUsageException("", "", "unknown service " + name)
    def getSecurityContexts(self, current=None):
        with self.s.lock: return [om.ExperimenterGroupI(g.id, False) for g in self.b.groups_of(self.sess.user)]
    def setSecurityContext(self, obj, current=None):
        with self.s.lock:
            old = self.sess.group; g = self.s.get("ExperimenterGroup", obj._id.val)
            if g is None or not (self.b.is_admin(self.sess.user) or g in self.b.groups_of(self.sess.user)): raise omero.SecurityViolation("", "", "not a member of %s" % obj._id.val)
            self.sess.group = g; return om.ExperimenterGroupI(old.id, False)
    def setSecurityPassword(self, pw, current=None):
        if self.b.passwords.get(self.sess.user.v["omeName"]) != pw: raise omero.SecurityViolation("", "", "bad password")
    def subscribe(self, topic, prx, current=None): pass
    def submit(self, req, current=None):
        with self.s.lock:
            try: rsp = gr.run_cmd(self.b, self.sess, req, current)
            except Exception as e:
                log.exception("submit"); rsp = omero.cmd.ERR("mini Blitz", type(e).__name__, {"message": str(e)})
        h = gr.HandleI(self.b, self.sess, req, rsp, not isinstance(rsp, omero.cmd.ERR))
        return omero.cmd.HandlePrx.uncheckedCast(self.b.expose(self.sess, h, "Handle-" + str(uuid.uuid4()), self.direct))

def _stateless(name, impl):
    def get(self, current=None): return prx_of(name).uncheckedCast(self.b.expose(self.sess, None, name, self.direct, lambda: impl(self.sess)))
    return get
def _stateful(name, impl):
    def create(self, current=None): return prx_of(name).uncheckedCast(self.b.expose(self.sess, impl(self.sess), "%s%s" % (uuid.uuid4(), name), self.direct))
    return create
for _m, (_n, _k) in STATELESS.items(): setattr(_SF, _m, _stateless(_n, _k))
for _m, (_n, _k) in STATEFUL.items(): setattr(_SF, _m, _stateful(_n, _k))
ServiceFactoryI = service(omero.api.ServiceFactory)(_SF)

class Blitz:
    version = "5.6.14-mini"
    def __init__(self, data, scripts=None):
        self.scripts = scripts
        self.data = os.path.abspath(data); os.makedirs(self.data, exist_ok=True)
        self.sessions, self.processors, self.params, self.buffers = {}, {}, {}, {}
        self.clients, self.cons, self.routes = {}, {}, {}
        self.store = Store(os.path.join(self.data, "store.pickle"))
        self.passwords = {}; self._dirty = False
        self.config = {"omero.version": self.version, "omero.upgrades.url": "", "omero.pixeldata.max_plane_width": "3192", "omero.pixeldata.max_plane_height": "3192", "omero.client.web.host": "", "omero.client.download_as.max_size": "144000000",
                       "omero.client.ui.tree.orphans.name": "Orphaned Images", "omero.client.viewer.roi_limit": "2000", "omero.client.viewer.initial_zoom_level": "0",
                       "omero.client.ui.menu.dropdown.leaders.enabled": "true", "omero.client.ui.menu.dropdown.colleagues.enabled": "true", "omero.client.ui.menu.dropdown.everyone.enabled": "true",
                       "omero.client.ui.tree.orphans.enabled": "true", "omero.client.ui.tree.type_order": "tagset,tag,project,dataset,screen,plate,acquisition,image", "omero.sessions.timeout": "600000"}
        self.dbuuid = "00000000-0000-0000-0000-000000000001"
        if os.path.exists(self.store.path):
            self.store.load(); self.passwords = self.store.env.get("passwords", {})
        else: self.bootstrap()
        self.scan_scripts()

    # -- people
    def bootstrap(self):
        s = self.store
        with s.lock:
            for k, vs in ENUM_VALUES.items():
                for v in vs: s.enum(k, v)
            for r in s.extent("PixelsType"): r.v["bitSize"] = {"bit": 1}.get(r.v["value"]) or rend.np.dtype(rend.DT[r.v["value"]]).itemsize * 8
            P = lambda x: om.PermissionsI(x)._perm1
            for i, (n, p) in enumerate((("system", "rw----"), ("user", "rwr-r-"), ("guest", "rwr---"))):
                s.seq["ExperimenterGroup"] = i - 1
                g = s.new("ExperimenterGroup", name=n, ldap=False, description=""); g.perms = P(p)
            s.seq["Experimenter"] = -1
            root = self.add_user("root", "omero", "root", "root", [s.get("ExperimenterGroup", 0), s.get("ExperimenterGroup", 1)])
            self.add_user("guest", "guest", "Guest", "Account", [s.get("ExperimenterGroup", 2)])
            ev = s.new("Event", time=now_ms(), status="BOOTSTRAP", type=s.enum("EventType", "Bootstrap"), experimenter=root, experimenterGroup=s.get("ExperimenterGroup", 0))
            for r in s.extent("Experimenter") + s.extent("ExperimenterGroup"): r.cevent = r.uevent = ev; r.owner = root; r.group = s.get("ExperimenterGroup", 0) if False else None
    def add_group(self, name, perms="rwra--"):
        g = self.store.new("ExperimenterGroup", name=name, ldap=False, description=""); g.perms = om.PermissionsI(perms)._perm1; return g
    def add_user(self, name, pw, first, last, groups, lead=()):
        s = self.store
        e = s.new("Experimenter", omeName=name, firstName=first, lastName=last, ldap=False, email="%s@localhost" % name)
        for g in groups: s.new("GroupExperimenterMap", parent=g, child=e, owner=g in lead)
        u = s.get("ExperimenterGroup", 1)
        if u is not None and u not in groups: s.new("GroupExperimenterMap", parent=u, child=e, owner=False)
        self.passwords[name] = pw; s.env["passwords"] = self.passwords
        return e
    def user(self, name): return next((r for r in self.store.extent("Experimenter") if r.v["omeName"] == name), None)
    def groups_of(self, e): return [m.v["parent"] for m in self.store.coll(e, "groupExperimenterMap")]
    def led_by(self, e): return [m.v["parent"] for m in self.store.coll(e, "groupExperimenterMap") if m.v.get("owner")]
    def is_admin(self, e): return any(g.id == 0 for g in self.groups_of(e))
    def default_group(self, e):
        gs = self.groups_of(e); d = e.v.get("_default")
        return next((g for g in gs if g.id == d), None) or next((g for g in gs if g.id != 1), gs[0])
    def event_context(self, c):
        gs = c.mine; g = c.group; e = c.user
        p = om.PermissionsI(); p._perm1 = g.perms
        return omero.sys.EventContext(-1, c.sess.row.id, c.sess.uuid, e.id, e.v["omeName"], None, None, g.id, g.v["name"], c.admin,
            ENUM_VALUES["AdminPrivilege"] if c.admin else [], c.sess.event.id, "User", sorted(x.id for x in self.groups_of(e)), sorted(x.id for x in self.led_by(e)), p)

    # -- sessions
    def verify(self, user, pw):
        if user in self.sessions and user == pw: return None
        if user in self.passwords and self.passwords[user] == pw: return None
        return "Password check failed for '%s': []" % user
    def new_session(self, user, group=None, agent=""):
        with self.store.lock:
            g = next((x for x in self.store.extent("ExperimenterGroup") if x.v["name"] == group), None) if group else None
            if g is not None and not self.is_admin(user) and g not in self.groups_of(user): raise omero.SecurityViolation("", "", "user %s not in %s" % (user.id, group))
            s = Session(self, user, g or self.default_group(user), str(uuid.uuid4()), agent)
            self.sessions[s.uuid] = s; return s
    def open(self, user, ctx, direct=False, control=None):
        with self.store.lock:
            sess = self.sessions.get(user)
            if sess is None: sess = self.new_session(self.user(user), ctx.get("omero.group") if not (ctx.get("omero.group") or "0").lstrip("-").isdigit() else None, ctx.get("omero.agent", ""))
            sess.refs += 1
            sf = ServiceFactoryI(sess, direct, control)
            sf.ident = Ice.Identity(sess.uuid, "session-" + (ctx.get("omero.client.uuid") or uuid.uuid4().hex))
            if self.local(sf.ident): sf.ident = Ice.Identity(sess.uuid, "session-" + uuid.uuid4().hex)
            self.add(sf, sf.ident)
            sf.prx = self.prx(sf.ident, direct); return sf
    def kill(self, sess):
        with self.store.lock:
            if sess.closed: return
            sess.closed = True; self.sessions.pop(sess.uuid, None); sess.row.v["closed"] = now_ms()
            for n in list(sess.services): self.remove(Ice.Identity(n, sess.uuid))
            for d in (self.adapter, self.internal):
                if d is None: continue

    # -- servants: the same servant map in both adapters
    def add(self, servant, ident):
        for a in (self.adapter, self.internal):
            if a is not None:
                try: a.add(servant, ident)
                except Ice.AlreadyRegisteredException: pass
    def remove(self, ident):
        for a in (self.adapter, self.internal):
            if a is not None:
                try: a.remove(ident)
                except Ice.NotRegisteredException: pass
    def local(self, ident): return self.adapter.find(ident) is not None
    def prx(self, ident, direct=False): return (self.internal if direct and self.internal else self.adapter).createProxy(ident)
    def expose(self, sess, servant, name, direct=False, make=None):
        with self.store.lock:
            if servant is None:
                servant = sess.services.get(name)
                if servant is None: servant = sess.services[name] = make(); self.add(servant, Ice.Identity(name, sess.uuid))
            else:
                old = sess.services.get(name)
                if old is not None: self.remove(Ice.Identity(name, sess.uuid))
                sess.services[name] = servant; self.add(servant, Ice.Identity(name, sess.uuid))
            return self.prx(Ice.Identity(name, sess.uuid), direct)
    def drop(self, sess, ident): sess.services.pop(ident.name, None); self.remove(ident)
    def idstr(self, prx): i = prx.ice_getIdentity(); return "%s/%s" % (i.category, i.name)
    def reach(self, prx):
        """a proxy a client gave us -> one we can call: over its own connection if it is behind our router"""
        if prx is None: return None
        con = self.clients.get(prx.ice_getIdentity().category)
        return con.createProxy(prx.ice_getIdentity()) if con is not None else prx.ice_router(None)

    # -- processors
    def find_processor(self, user, group, job, wait):
        end = time.time() + max(wait or 0, 1)
        while True:
            for k, prx in list(self.processors.items()):
                cb = gr.AcceptCallbackI(); i = Ice.Identity(str(uuid.uuid4()), "AcceptCallback")
                a = self.internal or self.adapter
                a.add(cb, i) if a is not self.adapter else self.add(cb, i)
                if a is not self.adapter:
                    self.adapter.add(cb, i)
                try:
                    with self.store.lock:
                        u, g = Grapher(self.store, {user}, {}).obj(user), Grapher(self.store, {group}, {}).obj(group); j = gr.job_obj(self.store, job)
                    prx.willAccept(u, g, j, omero.grid.ProcessorCallbackPrx.uncheckedCast(a.createProxy(i)))
                    ok, sid, p = cb.q.get(timeout=5)
                    if ok: return omero.grid.ProcessorPrx.uncheckedCast(self.reach(p) if p is not None else prx)
                except Ice.LocalException as e:
                    log.info("processor %s gone: %s", k, type(e).__name__); self.processors.pop(k, None)
                except gr.queue.Empty: pass
                finally: self.remove(i)
            if time.time() >= end: return None
            time.sleep(0.2)

    # -- files, scripts
    def repo_dir(self, name): return {"ManagedRepository": os.path.join(self.data, "ManagedRepository"), "Scripts": os.path.join(self.data, "lib", "scripts")}[name]
    def repo_root(self, name):
        d = self.repo_dir(name); os.makedirs(d, exist_ok=True)
        for r in self.store.extent("OriginalFile"):
            if r.v.get("mimetype") == "Repository" and r.v["name"] == os.path.basename(d): return r
        return self.store.new("OriginalFile", self.store.get("Experimenter", 0), self.store.get("ExperimenterGroup", 1), None, name=os.path.basename(d), path=os.path.dirname(d) + "/", mimetype="Repository")
    def file_path(self, row):
        if row.v.get("repo") == "script": return os.path.join(self.repo_dir("Scripts"), (row.v["path"] + row.v["name"]).lstrip("/"))
        i = row.id; sub = ""
        while i > 999: i //= 1000; sub = os.path.join("Dir-%03d" % (i % 1000), sub)
        return os.path.join(self.data, "Files", sub, str(row.id))
    def stat_script(self, r):
        data = open(self.file_path(r), "rb").read()
        r.v["size"], r.v["hash"] = len(data), hashlib.sha1(data).hexdigest(); self.store.set(r, "hasher", self.store.enum("ChecksumAlgorithm", "SHA1-160"))
    def scan_scripts(self):
        d = self.repo_dir("Scripts"); os.makedirs(d, exist_ok=True)
        link = os.path.join(d, "biomero")
        if self.scripts and not os.path.islink(link): os.symlink(os.path.abspath(self.scripts), link)
        known = {r.v["path"] + r.v["name"]: r for r in self.store.extent("OriginalFile") if r.v.get("repo") == "script"}
        for dp, dn, fn in os.walk(d, followlinks=True):
            for f in fn:
                if not f.endswith(".py"): continue
                p = "/" + os.path.relpath(os.path.join(dp, f), d)
                r = known.pop(p, None)
                if r is None:
                    dd = os.path.dirname(p).rstrip("/") + "/"
                    r = self.store.new("OriginalFile", self.store.get("Experimenter", 0), self.store.get("ExperimenterGroup", 1), next(iter(self.store.extent("Event")), None),
                                       name=f, path=dd, mimetype="text/x-python", repo="script")
                self.stat_script(r)
        for r in known.values(): self.store.delete(r)

    # -- images
    def buffer(self, pix):
        b = self.buffers.get(pix.id)
        if b is None:
            sub, i = "", pix.id
            while i > 999: i //= 1000; sub = os.path.join("Dir-%03d" % (i % 1000), sub)
            b = self.buffers[pix.id] = rend.Buffer(os.path.join(self.data, "Pixels", sub, str(pix.id)), pix)
        return b
    def new_image(self, owner, group, name, x, y, z, c, t, ptype, desc=None, channels=None):
        s = self.store
        ev = s.new("Event", time=now_ms(), type=s.enum("EventType", "User"), status=""); s.set(ev, "experimenter", owner); s.set(ev, "experimenterGroup", group)
        N = lambda k, **v: s.new(k, owner, group, ev, **v)
        im = N("Image", name=name, description=desc, acquisitionDate=None, series=0, archived=False, partial=False); im.uevent = ev
        p = N("Pixels", image=im, sizeX=x, sizeY=y, sizeZ=z, sizeC=c, sizeT=t, pixelsType=s.enum("PixelsType", ptype), dimensionOrder=s.enum("DimensionOrder", "XYZCT"), sha1="Pending...", methodology=None,
              significantBits=rend.np.dtype(rend.DT[ptype]).itemsize * 8)
        for k in range(c):
            lc = N("LogicalChannel", name=channels[k] if channels else None, samplesPerPixel=1)
            r, g, b = COLORS[k % 6] if c > 1 else (128, 128, 128)
            N("Channel", pixels=p, logicalChannel=lc, red=r, green=g, blue=b, alpha=255, statsInfo=N("StatsInfo", globalMin=0.0, globalMax=1.0))
        return im
    def rdef(self, pix, user, create=True, reset=False):
        s = self.store; ds = s.coll(pix, "settings")
        d = next((r for r in ds if r.owner is user), None) or next(iter(ds), None)
        if d is not None and not reset: return d
        if not create: return None
        buf = self.buffer(pix)
        if d is None:
            N = lambda k, **v: s.new(k, user, pix.group, pix.cevent, **v)
            d = N("RenderingDef", pixels=pix, defaultZ=pix.v["sizeZ"] // 2, defaultT=0, model=s.enum("RenderingModel", "rgb" if pix.v["sizeC"] > 1 else "greyscale"), name="", compression=0.85,
                  quantization=N("QuantumDef", cdStart=0, cdEnd=255, bitResolution=255)); d.uevent = pix.cevent
            for k, ch in enumerate(s.coll(pix, "channels")):
                N("ChannelBinding", renderingDef=d, family=s.enum("Family", "linear"), coefficient=1.0, inputStart=0.0, inputEnd=1.0, active=k < 3, noiseReduction=False,
                  red=ch.v.get("red") or 0, green=ch.v.get("green") or 0, blue=ch.v.get("blue") or 0, alpha=255, lookupTable="")
        for k, b in enumerate(s.coll(d, "waveRendering")):
            a = buf.a[:, k]; lo, hi = float(a.min()), float(a.max())
            b.v["inputStart"], b.v["inputEnd"] = lo, hi if hi > lo else lo + 1
            si = s.coll(pix, "channels")[k].v.get("statsInfo")
            if si is not None: si.v["globalMin"], si.v["globalMax"] = lo, hi
        self.dirty(); return d
    def rdef_obj(self, d):
        s = self.store; bs = s.coll(d, "waveRendering")
        full = {d, d.owner, d.v["quantization"], d.v["model"]} | set(bs) | {b.v["family"] for b in bs}
        return Grapher(s, full, {(d, "waveRendering"): bs, **{(x, "spatialDomainEnhancement"): [] for x in bs}}).obj(d)

    def dirty(self): self._dirty = True
    def saver(self):
        while True:
            time.sleep(2)
            if self._dirty:
                with self.store.lock: self._dirty = False; self.store.dump()

    # -- Ice
    def serve(self, args):
        cert = os.path.join(self.data, "server.pem")
        if not os.path.exists(cert):
            subprocess.check_call(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=localhost", "-keyout", cert + ".key", "-out", cert], stderr=subprocess.DEVNULL)
        d = Ice.InitializationData(); d.properties = P = Ice.createProperties()
        ssl = {"Ice.Plugin.IceSSL": "IceSSL:createIceSSL", "IceSSL.CertFile": cert, "IceSSL.KeyFile": cert + ".key", "IceSSL.VerifyPeer": "0"}
        eps = []
        if args.port: eps.append("ssl -h %s -p %d" % (args.host, args.port)); [P.setProperty(k, v) for k, v in ssl.items()]
        if args.insecure: eps.append("tcp -h %s -p %d" % (args.host, args.insecure))
        for k, v in {"Blitz.Endpoints": ":".join(eps), "Ice.ThreadPool.Server.Size": "8", "Ice.ThreadPool.Server.SizeMax": "60", "Ice.ThreadPool.Client.Size": "2", "Ice.ThreadPool.Client.SizeMax": "20",
                     "Ice.MessageSizeMax": "250000", "Ice.ACM.Server.Timeout": "600", "Ice.ACM.Server.Close": "4", "Ice.Warn.Dispatch": "0", "Ice.CacheMessageBuffers": "0",
                     "Internal.Endpoints": args.internal or "", "Ice.Default.Locator": args.locator or ""}.items():
            if v: P.setProperty(k, v)
        for f in getattr(args, "ice_config", ()):
            for x in f.split(","): P.load(x)                 # from icegridnode: ServerId, Admin endpoints -> it sees us become active
        for x in args.D or (): k, v = x.split("=", 1); P.setProperty(k, v)
        self.ic = Ice.initialize(d)
        ofr.registerObjectFactory(self.ic, None)
        for of in list(omero.rtypes.ObjectFactories.values()): of.register(self.ic)
        self.adapter = self.ic.createObjectAdapter("Blitz") if eps else None
        self.internal = self.ic.createObjectAdapter("Internal") if args.internal else None
        if self.adapter is None: self.adapter = self.internal; self.internal = None if args.internal and not eps else self.internal
        self.config["omero.router.insecure"] = "OMERO.Glacier2/router:tcp -p %d -h @omero.host@" % args.insecure if args.insecure else ""
        if args.router_insecure: self.config["omero.router.insecure"] = args.router_insecure
        self.adapter.add(rt.RouterI(self), Ice.Identity("router", "OMERO.Glacier2"))
        self.adapter.addServantLocator(rt.Locator(self), "")
        man, ver = rt.ManagerI(self), rt.VerifierI(self)
        for a in {self.adapter, self.internal} - {None}:
            a.add(man, Ice.Identity("BlitzManager", "")); a.add(ver, Ice.Identity("BlitzVerifier", ""))
        for a in {self.adapter, self.internal} - {None}: a.activate()
        if args.locator: self.register_grid()
        threading.Thread(target=self.saver, daemon=True).start()
        log.info("mini Blitz up: %s internal=%s", eps, args.internal)
        print("READY", flush=True)
    def register_grid(self):
        """what IceGrid descriptors do for the real Blitz: make the SessionManager findable by type"""
        import IceGrid
        a = self.internal or self.adapter
        prx = a.createDirectProxy(Ice.Identity("BlitzManager", "")) if hasattr(a, "createDirectProxy") else a.createProxy(Ice.Identity("BlitzManager", ""))
        for n in range(30):
            try:
                reg = IceGrid.RegistryPrx.checkedCast(self.ic.stringToProxy("IceGrid/Registry")); adm = reg.createAdminSession("null", ""); break
            except Exception as e: log.info("registry not there yet: %s", type(e).__name__); time.sleep(1)
        try:
            A = adm.getAdmin()
            try: A.addObjectWithType(prx, "::Glacier2::SessionManager")
            except IceGrid.ObjectExistsException: A.updateObject(prx)
            log.info("registered with IceGrid: %s", prx)
        finally: adm.destroy()

def main(argv=None):
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", "--base", dest="data", required=True); ap.add_argument("--scripts"); ap.add_argument("--host", default="127.0.0.1"); ap.add_argument("--port", type=int, default=4064); ap.add_argument("--insecure", type=int, default=0)
    ap.add_argument("--internal", default=""); ap.add_argument("--locator", default=""); ap.add_argument("--router-insecure", default=""); ap.add_argument("--demo", action="store_true"); ap.add_argument("-D", action="append")
    ap.add_argument("-v", action="store_true"); ap.add_argument("--calls", help="write the coverage list here at exit")
    args, _ice = ap.parse_known_args(argv)      # icegridnode appends --Ice.Config=...
    logging.basicConfig(level=logging.DEBUG if args.v else logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    args.ice_config = [a.split("=", 1)[1] for a in _ice if a.startswith("--Ice.Config=")]
    b = Blitz(os.path.join(args.data, "omero"), args.scripts)
    if b.user("alice") is None:
        from .people import fill
        fill(b)
    b.serve(args)
    stop = threading.Event()
    for sg in (signal.SIGTERM, signal.SIGINT): signal.signal(sg, lambda *a: stop.set())
    while not stop.wait(0.3) and not b.ic.isShutdown(): pass          # IceGrid shuts us down through Ice.Admin
    if args.calls: json.dump(CALLS, open(args.calls, "w"), indent=1, sort_keys=True)
    with b.store.lock: b.store.dump()
    threading.Timer(1.0, lambda: os._exit(0)).start()
    b.ic.destroy()
    os._exit(0)

if __name__ == "__main__": main()
