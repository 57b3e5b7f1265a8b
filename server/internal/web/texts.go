package web

import (
	"net/http"

	"golang.org/x/text/language"

	"github.com/gin-gonic/gin"
)

// lang is a language of the pages.
type lang string

const (
	english lang = "en"
	chinese lang = "zh-CN"
)

var matcher = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

const langCookie = "lang"

// langOf takes the language asked for in the address, else the one chosen before, else the browser's.
func langOf(c *gin.Context) lang {
	q := lang(c.Query("lang"))
	if q == "zh" {
		q = chinese
	}
	if q == english || q == chinese {
		http.SetCookie(c.Writer, langKeep(q))
		return q
	}
	if v, err := c.Cookie(langCookie); err == nil && (lang(v) == english || lang(v) == chinese) {
		return lang(v)
	}
	_, i, _ := matcher.Match(accepted(c)...)
	return []lang{english, chinese}[i]
}

func accepted(c *gin.Context) []language.Tag {
	tags, _, err := language.ParseAcceptLanguage(c.GetHeader("Accept-Language"))
	if err != nil {
		return nil
	}
	return tags
}

// texts are the words of the pages, by the glossary of the design. en, then zh-CN.
var texts = map[string][2]string{
	"recordings": {"Recordings", "音像记录"},
	"recording":  {"Recording", "音像记录"},
	"name":       {"Name", "名称"},
	"grade":      {"Grade", "签封等级"},
	"state":      {"State", "状态"},
	"size":       {"Size", "大小"},
	"opened":     {"Sealing began", "开始签封"},
	"device":     {"Device", "设备"},
	"older":      {"Older recordings", "更早的记录"},
	"newest":     {"Newest", "最新"},
	"unnamed":    {"(without a name)", "（无名称）"},
	"skip":       {"To the content", "跳到内容"},
	"none":       {"No recordings yet", "暂无音像记录"},
	"none-do":    {"The first one appears here as soon as an enrolled device has sent what it sealed.", "已登记的设备送达签封陈述后，第一份记录会显示在这里。"},
	"count":      {"in all", "份"},
	"attention":  {"Needs a person", "需要人工处理"},
	"all-quiet":  {"Nothing on this page needs a person.", "本页没有需要人工处理的记录。"},

	"about":               {"What it is about", "执法信息说明"},
	"needs-header":        {"needs a header", "待补执法信息说明"},
	"late":                {"late", "逾期"},
	"typed-only":          {"no spoken header", "无语音说明"},
	"check-certificate":   {"check the certificate", "执法证待核"},
	"typed-only-says":     {"The header was typed. No header was spoken on the recording.", "执法信息说明为文字录入，音像记录中没有语音说明。"},
	"late-says":           {"The first header was given at %s. It had to be there by %s.", "首次说明时间为 %s，应在 %s 之前完成。"},
	"overdue-says":        {"There is no case header. It had to be there by %s. The footage itself is not affected: give the header at the dock.", "尚无执法信息说明，应在 %s 之前完成。音像记录本身不受影响，请到采集站补录说明。"},
	"due-says":            {"There is no case header yet. It has to be there by %s: give it at the dock.", "尚无执法信息说明。请在 %s 之前到采集站完成。"},
	"no-header":           {"No case header was given.", "没有执法信息说明。"},
	"header-department":   {"Department", "执法部门"},
	"header-officers":     {"Officers", "执法人员"},
	"header-cause":        {"Cause", "事由"},
	"header-time":         {"Time", "时间"},
	"header-place":        {"Place", "地点"},
	"header-activity":     {"Activity", "执法活动"},
	"header-case":         {"Case no.", "案号"},
	"header-companions":   {"Companions", "随行人员"},
	"header-further":      {"Further", "其他"},
	"not-said":            {"not given", "未说明"},
	"nothing":             {"nothing", "未填写"},
	"first-said":          {"corrected; first given as:", "已更正，最初为："},
	"confirmed":           {"Confirmed by", "确认人"},
	"certificate-valid":   {"certificate valid on that day", "当日执法证有效"},
	"certificate-invalid": {"certificate not valid on that day", "当日执法证无效"},
	"certificate-unknown": {"certificate not in the register", "执法证不在名册中"},
	"certificate-undated": {"the register does not say until when it is valid", "名册未载明有效期"},
	"certificate-other":   {"the register has this certificate under another name:", "名册中该证号属于："},
	"valid-until":         {"until", "有效期至"},
	"register-used":       {"Compared with the register of officers in force since %s.", "依据 %s 起施行的执法人员名册核对。"},
	"register-none":       {"Certificates were not compared: this server has no register of officers.", "未核对执法证：本服务器尚无执法人员名册。"},
	"register-unread":     {"Certificates were not compared: the register of officers can't be read from the vault. The server's log says more.", "未核对执法证：无法从证据库读取执法人员名册，详情见服务器日志。"},
	"spoken":              {"Spoken header", "语音说明"},
	"engine":              {"Transcribed by %s, confidence %s. The words are a claim of that program until a person confirmed them.", "由 %s 转写，置信度 %s。转写文字在人工确认之前仅为程序的判断。"},
	"note":                {"Text note", "文字说明"},
	"no-note":             {"No text note was written.", "没有文字说明。"},
	"marks":               {"Important marks", "重点标记"},
	"headers-all":         {"Every header as it was given", "历次执法信息说明"},
	"notes-all":           {"Every note as it was written", "历次文字说明"},
	"beside":              {"What belongs to it", "相关记录"},
	"sequence":            {"One of %d recordings that the recorder split.", "记录仪分段存储，共 %d 份。"},
	"part-before":         {"The one before:", "上一段："},
	"part-after":          {"The one after:", "下一段："},
	"part-none":           {"none", "无"},
	"also":                {"Also taken in as", "同一原件的其他采集"},
	"also-list":           {"Also taken in as:", "同一原件的其他采集："},
	"also-says":           {"The same file of the same recorder. The list shows this recording for all of them.", "同一记录仪的同一文件，列表中以本记录为代表。"},
	"also-other":          {"The same file of the same recorder. The list shows another recording for all of them.", "同一记录仪的同一文件，列表中以另一份记录为代表。"},
	"also-more":           {"and %d more", "另有 %d 份"},
	"attempt-partly":      {"not whole", "不完整"},
	"attempt-differs":     {"its bytes differ: it is not the same original", "内容不同，并非同一原件"},
	"released":            {"released from the recorder", "已从记录仪清空"},
	"released-says":       {"The recorder's copy was released on its permit, after its bytes were read again and found to be these. That nothing of it can be recovered from the recorder is not claimed.", "记录仪上的副本已按许可清空；清空前已重新读取并核对内容一致。不声明记录仪上的数据已无法恢复。"},
	"without-header":      {"%d recordings need a case header. The oldest come first.", "%d 份音像记录待补执法信息说明，较早的在前。"},
	"unrecorded":          {"Acts that were not recorded", "未作音像记录的执法活动"},
	"unrecorded-all":      {"All %d", "全部 %d 项"},
	"older-acts":          {"Older ones", "更早的"},
	"act":                 {"Act", "执法活动"},
	"reason":              {"Reason", "原因"},
	"by":                  {"Said by", "说明人"},
	"said-at":             {"Said at", "说明时间"},

	"capture-sealed":       {"capture-sealed", "录制时签封"},
	"dock-sealed":          {"dock-sealed", "采集时签封"},
	"software-sealed":      {"software-sealed", "软件签封（试用）"},
	"capture-sealed-says":  {"Sealed by the recorder's own TPM while it was made.", "录制时由记录仪自身的 TPM 签封。"},
	"dock-sealed-says":     {"Sealed by the station's TPM when it was taken in. What happened before docking is not proven.", "采集时由采集站的 TPM 签封。采集之前的情况未获证明。"},
	"software-sealed-says": {"Sealed by a key in a file, for a trial. No TPM vouches for it.", "由文件中的密钥签封，仅供试用。没有 TPM 作保。"},

	"model":               {"Model", "型号"},
	"enrolled":            {"Enrolled", "登记时间"},
	"tpm":                 {"TPM", "TPM"},
	"vouched-maker":       {"its maker's certificate was checked when the device enrolled", "设备登记时已核验厂商证书"},
	"vouched-trial":       {"emulated TPM, trial", "模拟 TPM，仅供试用"},
	"vouched-nobody":      {"TPM maker unknown: allowed by this server's configuration", "TPM 厂商未知：由本服务器的配置放行"},
	"vouched-software":    {"no TPM, trial", "无 TPM，仅供试用"},
	"counter":             {"Counter", "计数器"},
	"counter-none":        {"none: what was begun and never arrived can't be told", "无：无法得知哪些内容已开始而从未送达"},
	"counter-new":         {"nothing arrived yet", "尚无内容送达"},
	"counter-at":          {"%d, as far as statements arrived", "%d（截至已送达的陈述）"},
	"counter-gap":         {"Counter values %s to %s never arrived from this device.", "该设备的计数值 %s 至 %s 从未送达。"},
	"revoked":             {"This device was revoked", "该设备已被吊销"},
	"revoked-says":        {"Nothing is taken in from it any more. What the log holds ahead of the revocation stays valid.", "不再接收其任何内容。日志中位于吊销条目之前的内容仍然有效。"},
	"suspect":             {"Its word is suspect since", "其陈述存疑的起始时间"},
	"suspect-after":       {"This recording, or a part of it, reached the log only after that.", "本记录（或其一部分）在该时间之后才登记入日志。"},
	"software-changed":    {"The recorder's software changed between %s and %s", "记录仪的软件在 %s 与 %s 之间发生了变化"},
	"software-claim":      {"Times are the device's clock, a claim. The values are those of its TPM (PCRs 0-7), measured when it started.", "时间取自设备时钟，仅为声明。数值为设备启动时由其 TPM 度量所得（PCR 0-7）。"},
	"software-allowed":    {"The administrator allowed the new values for this model.", "管理员已允许该型号使用新值。"},
	"software-disallowed": {"The new values are not among those that are allowed for this model.", "新值不在该型号允许的取值之内。"},
	"values":              {"Both sets of values", "前后两组数值"},
	"before":              {"before", "变化前"},
	"after":               {"after", "变化后"},

	"unchecked":      {"Not checked here", "此处未校验"},
	"unchecked-says": {"This server checked the chain, the seals and every chunk when it took them in. Its word is not proof: download the bundle and run camseal-verify with log keys from somebody you trust.", "本服务器在接收时校验了哈希链、电子签封和每个数据块，但服务器的说法不是证明：请下载证据包，并用从可信方取得的日志公钥运行 camseal-verify 校验。"},

	"seen":            {"seen", "摘要已登记"},
	"seen-says":       {"What the device sealed is logged. The footage is not locked in the vault yet: the recorder's copy must be kept.", "设备的签封陈述已登记入日志。影像尚未入库锁定：须保留记录仪上的原件。"},
	"open":            {"being taken in", "采集中"},
	"open-says":       {"The device has not closed this recording yet.", "设备尚未结束此记录。"},
	"partly":          {"partly stored", "部分入库"},
	"partly-says":     {"Some chunks are locked in the vault. The rest is still to come: the recorder's copy must be kept.", "部分数据块已入库锁定，其余尚未送达：须保留记录仪上的原件。"},
	"stored":          {"stored", "已入库锁定"},
	"stored-says":     {"Every chunk was hashed again, written, locked and read back.", "每个数据块均已重新计算哈希、写入、锁定并读回核对。"},
	"incomplete":      {"incomplete", "不完整"},
	"incomplete-says": {"The device itself says that not all of the source could be taken in.", "设备自身声明：未能采集全部内容。"},
	"locked-until":    {"Locked at least until", "至少锁定至"},
	"lock-compliance": {", by the storage itself (S3 object lock, compliance mode).", "，由存储系统自身锁定（S3 对象锁，合规模式）。"},
	"lock-folder":     {", in a folder of this server: that stops mistakes, and not who governs this machine. What is changed there is found.", "，位于本服务器的文件夹：可防误操作，不能防本机管理者；任何改动都会被发现。"},
	"chunks":          {"chunks", "个数据块"},
	"absent":          {"Chunks declared lost", "声明丢失的数据块"},
	"faults":          {"Faults reported by the device", "设备报告的故障"},
	"why":             {"How it ended", "结束原因"},
	"complete":        {"complete", "完整"},
	"source-changed":  {"the file changed while it was read", "读取过程中文件发生变化"},
	"source-vanished": {"the file or its medium went away", "文件或介质已移除"},
	"read-error":      {"the medium could not be read", "介质读取错误"},
	"interrupted":     {"the agent could not go on", "采集程序中断"},
	"media-changed":   {"codec or resolution changed; another recording continues it", "编码或分辨率改变，由另一份记录接续"},
	"not-closed":      {"still open", "尚未结束"},
	"what":            {"What it is", "基本信息"},
	"proof":           {"Proof", "证明材料"},
	"custody":         {"Chain of custody", "证据保管链"},
	"no-custody":      {"Nobody has exported this recording.", "尚无人导出此记录。"},
	"claim":           {"the device's clock, a claim", "设备时钟，仅为声明"},
	"media-type":      {"Type", "类型"},
	"hash":            {"SHA-256 of the whole file", "整个文件的 SHA-256"},
	"id":              {"Recording id", "记录编号"},
	"log-seen":        {"Logged at", "日志登记位置"},
	"log-stored":      {"Stored receipt", "入库存证回执"},
	"leaf":            {"log leaf", "日志条目"},
	"closed":          {"Sealing ended", "结束签封"},
	"download":        {"Download bundle", "下载证据包"},
	"download-says":   {"The original, untouched, with everything that proves it. Handing it out is recorded in the chain of custody.", "未经改动的原件及其全部证明材料。下载行为将记入证据保管链。"},
	"download-later":  {"The bundle can be made once the recording is stored.", "入库锁定后方可生成证据包。"},
	"original":        {"Original", "原始记录（原件）"},
	"original-says":   {"Read from the vault. Each chunk is hashed before it is shown; one that is not what was sealed is not shown, and the player stops there.", "直接读自证据库。每个数据块先重新计算哈希再播放；与签封不符的数据块不予显示，播放在该处停止。"},
	"no-player":       {"A browser cannot show this type. The bundle holds it untouched.", "浏览器无法显示此类型。证据包中有未经改动的原件。"},
	"no-original":     {"Nothing to play yet: no chunk of it is stored.", "暂无可播放内容：尚无数据块入库。"},
	"act-export":      {"bundle exported", "导出证据包"},
	"act-quarantined": {"something was refused and put into quarantine", "有数据被拒收并隔离"},
	"back":            {"All recordings", "全部记录"},
	"language":        {"中文", "English"},
	"sorry":           {"Not here", "无法显示"},
	"no-page":         {"There is no such page. Nothing was changed. Go back to the recordings.", "没有此页面。未作任何更改。请返回音像记录列表。"},
	"no-recording":    {"There is no such recording. Nothing was changed. Check the number, or go back to the recordings.", "没有此记录。未作任何更改。请核对编号，或返回音像记录列表。"},
	"not-stored":      {"This recording is not stored yet. Nothing was exported. Try again once the device has sent all of it.", "此记录尚未入库。未导出任何内容。请在设备送达全部数据后重试。"},
	"not-here":        {"This page answers only on the machine it runs on. Use http://127.0.0.1 or http://localhost.", "本页面仅供本机访问。请使用 http://127.0.0.1 或 http://localhost。"},
	"trouble":         {"The page could not be made. The evidence is safe in the vault. Try again; the server's log says more.", "页面无法生成。证据在证据库中安全无恙。请重试；详情见服务器日志。"},
}

// in returns a text in this language.
func (l lang) in(key string) string {
	t, ok := texts[key]
	if !ok {
		return key
	}
	if l == chinese {
		return t[1]
	}
	return t[0]
}
