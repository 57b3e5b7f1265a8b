// Package catalogtest makes catalogs of very many recordings, for measurements.
package catalogtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Town is a made-up town whose departments record for four years. The same seed makes the same recordings.
type Town struct {
	r                               *rand.Rand
	devices                         []string
	departments, causes, places     []string
	activities, notes, asides, says []string
	officers                        []evidence.Officer
	zipf                            *rand.Zipf
}

// begin is when the first was filmed; span how long it goes on.
const (
	begin = 1_640_995_200_000 // 2022-01-01
	span  = 4 * 365 * 24 * 3600 * 1000
)

// Rare is a word that one note in 50,000 has.
const Rare = "走私象牙"

// NewTown makes a town.
func NewTown(seed uint64) *Town {
	t := &Town{r: rand.New(rand.NewPCG(seed, 1)), causes: strings.Fields(`占道经营 无照经营检查 噪声扰民 违法建设查处 食品安全检查 消防通道占用 渣土车未覆盖 露天烧烤
		油烟排放 餐饮卫生检查 药品经营检查 计量器具抽检 价格欺诈投诉 虚假宣传查处 特种设备检查 校外培训检查 危险化学品检查 建筑工地扬尘 夜间施工 违规排污
		非法营运 超限运输 黑车查处 网约车检查 出租屋检查 旅馆业检查 娱乐场所检查 非法行医 控烟检查 水源保护巡查 河道采砂 野生动物保护 森林防火巡查 犬只管理
		垃圾分类检查 户外广告清理 共享单车停放 燃气安全检查 电梯安全检查 Market_inspection Unlicensed_sale Noise_complaint Traffic_stop Building_inspection`),
		activities: strings.Fields("现场检查 调查取证 查封扣押 强制拆除 送达文书 听证"),
		notes: strings.Split(`当事人在场并签字|当事人拒绝签字，邀请见证人|现场未发现违法行为|责令限期改正，已送达文书|扣押物品两箱，清单已签收|现场拍照取证完毕|商户已自行整改|
			投诉人要求保密|与物业公司沟通，约定三日内复查|当事人情绪激动，已劝离|two boxes listed, party signed|party refused to sign, witness present|no violation found on site|
			follow-up visit within three days|shopkeeper was warned and corrected it`, "|"),
		asides: strings.Fields("营业执照 健康证 摊位 车辆 招牌 冷库 仓库 厨房 灭火器 安全出口 监控录像 检测报告 进货台账 负责人 店员 房东 receipts licence storage kitchen witness"),
		says:   strings.Fields("今天 我们 对 该 场所 进行 现场 检查 请 出示 证件 全程 录音 录像 告知 权利 义务 陈述 申辩 签字 确认 this is an inspection recorded from end to end please show your licence"),
	}
	for i, c := range t.causes {
		t.causes[i] = strings.ReplaceAll(c, "_", " ")
	}
	districts := strings.Fields("城关区 七里河区 西固区 安宁区 红古区 榆中县 永登县 皋兰县")
	for _, d := range districts {
		for _, b := range strings.Fields("市场监督管理局 城市管理行政执法局 交通运输局 卫生健康局 应急管理局 生态环境局") {
			t.departments = append(t.departments, d+b)
		}
	}
	for _, street := range strings.Fields("张掖路 西湖路 庆阳路 中山路 天水路 东岗西路 南昌路 武都路 酒泉路 静宁路 平凉路 定西路 临夏路 白银路 永昌路 通渭路 秦安路 甘南路 火星街 雁滩路") {
		for n := range 150 {
			t.places = append(t.places, fmt.Sprintf("%s%d号", street, n+1))
		}
	}
	for i := range 4000 {
		name := string([]rune("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗")[i%20]) + string([]rune("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华")[i/20%24]) +
			[]string{"", "华", "国", "文"}[i/480%4]
		t.officers = append(t.officers, evidence.Officer{Certificate: fmt.Sprintf("62%08d", 1_000_000+i*37), Name: name})
	}
	for i := range 600 {
		t.devices = append(t.devices, evidence.DeviceID{0: 0x00, 1: 0x0b, 2: byte(i >> 8), 3: byte(i), 4: 0x5a}.String())
	}
	t.zipf = rand.NewZipf(t.r, 1.2, 4, 1<<20)
	return t
}

// often picks one of a list, the first ones more often.
func often(t *Town, list []string) string { return list[t.zipf.Uint64()%uint64(len(list))] }

func even(t *Town, list []string) string { return list[t.r.IntN(len(list))] }

// Recording makes the recording with the number i of n, and what was said of it.
func (t *Town) Recording(i, n int) (row db.Recording, texts []string) {
	opened := begin + int64(i)*(span/int64(n)) + int64(t.r.IntN(3_600_000))
	var rec evidence.RecordingID
	for j := range rec {
		rec[j] = byte(t.r.Uint32())
	}
	digest := evidence.Sum(rec[:]).String()
	device := t.r.IntN(len(t.devices))
	row = db.Recording{Device: t.devices[device], Rec: rec.String(), Name: fmt.Sprintf("VID_%04d_%05d.MP4", device, t.r.IntN(100_000)), MediaType: "video/mp4", Mode: string(evidence.ModeImport),
		OpenedAt: opened, OpenSeq: int64(i), OpenDigest: digest, FirstIndex: int64(i), LastSeq: int64(i) + 9, LastN: 9, Chunks: 8, Size: 300 << 20, CloseDigest: digest, Hash: digest,
		Why: evidence.WhyComplete, Absent: "[]", StoredChunks: 8, StoredUntil: opened + span, StoredClosed: 1, StoredLeaf: digest, Serial: fmt.Sprintf("BZ%05d", device), Path: "RENJTS8=",
		SourceSize: 300 << 20, Modified: opened - int64(t.r.IntN(36_000_000)), Original: digest, Standing: 3, Shown: 1, Kind: "video", Footage: 1, Officers: "[]", Num: int64(i) + 1,
		Grade: string(verify.DockSealed)}
	row.At = row.Modified
	row.ClosedAt.Valid, row.ClosedAt.Int64 = true, opened+1000
	row.CloseSeq.Valid, row.StoredIndex.Valid = true, true
	switch t.r.IntN(200) {
	case 0, 1:
		row.Absent, row.StoredAbsent, row.Standing = "[3]", 1, 2
	case 2:
		row.StoredClosed, row.Standing = 0, 2
	}
	texts = []string{row.Name, row.Serial}
	if t.r.IntN(50) > 0 {
		texts = append(texts, t.about(&row)...)
	}
	return row, texts
}

func (t *Town) about(row *db.Recording) (texts []string) {
	two := []evidence.Officer{t.officers[t.r.IntN(len(t.officers))], t.officers[t.r.IntN(len(t.officers))]}
	raw, err := json.Marshal(two)
	if err != nil {
		panic(err)
	}
	row.HeaderFirstAt.Valid, row.HeaderFirstAt.Int64 = true, row.OpenedAt+60_000
	row.HeaderAt = row.HeaderFirstAt
	row.Department, row.Cause, row.Place, row.Activity, row.Officers, row.Spoken = often(t, t.departments), often(t, t.causes), even(t, t.places), often(t, t.activities), string(raw), 1
	row.HeaderTime, row.Confirmed = "上午", two[0].Name
	if t.r.IntN(3) == 0 {
		row.CaseNumber = fmt.Sprintf("甘执罚〔2026〕%d号", t.r.IntN(300_000))
	}
	if t.r.IntN(3) > 0 {
		row.Note = strings.TrimSpace(even(t, t.notes)) + "，" + even(t, t.asides) + "，" + even(t, t.asides)
		if t.r.IntN(50_000) == 0 {
			row.Note += "，" + Rare
		}
	}
	texts = []string{row.Department, row.Cause, row.HeaderTime, row.Place, row.Activity, row.CaseNumber, row.Confirmed, row.Note}
	for _, o := range two {
		texts = append(texts, o.Name, o.Certificate)
	}
	if t.r.IntN(4) == 0 {
		said := make([]string, 12)
		for i := range said {
			said[i] = even(t, t.says)
		}
		texts = append(texts, strings.Join(said, " "))
	}
	return texts
}

// Search makes a search as people ask for them: kind says of which sort it is.
func (t *Town) Search() (q catalog.Query, kind string) {
	one := func(kind, value string) { q.Facets = append(q.Facets, []string{catalog.Facet(kind, value)}) }
	o := t.officers[t.r.IntN(len(t.officers))]
	place := []rune(even(t, t.places))
	switch t.r.IntN(14) {
	case 0:
		return q, "everything"
	case 1:
		q.Text = string([]rune(often(t, t.causes))[:2])
		return q, "two characters"
	case 2:
		q.Text = even(t, t.asides)
		return q, "a word of a note"
	case 3:
		q.Text = often(t, t.causes) + " " + string(place[:2])
		return q, "cause and street, in words"
	case 4:
		one(catalog.FacetOfficer, o.Certificate)
		return q, "an officer"
	case 5:
		one(catalog.FacetDepartment, even(t, t.departments))
		one(catalog.FacetCause, even(t, t.causes))
		return q, "department and cause"
	case 6:
		one(catalog.FacetNeeds, catalog.NeedsPerson)
		one(catalog.FacetDepartment, even(t, t.departments))
		return q, "needs a person, of a department"
	case 7:
		q.From = begin + int64(t.r.Uint64N(span))
		q.Until = q.From + 7*24*3600*1000
		one(catalog.FacetDepartment, even(t, t.departments))
		return q, "a week of a department"
	case 8:
		q.Text = Rare
		return q, "a rare phrase"
	case 9:
		q.Text = even(t, []string{"不存在", "zzyzx", "象牙塔尖", "签字拒绝当事"})
		return q, "nothing to be found"
	case 10:
		q.Text = even(t, []string{"insp", "lic", "BZ00", "VID", "2026", "62010"})
		return q, "the begin of a word"
	case 11:
		q.Text = even(t, []string{"店", "路", "牙", "号", "王"})
		return q, "one character"
	case 12:
		q.Text = strings.TrimSpace(even(t, t.notes))
		one(catalog.FacetActivity, even(t, t.activities))
		one(catalog.FacetName, o.Name)
		return q, "a sentence, an activity and an officer's name"
	}
	one(catalog.FacetState, catalog.StateIncomplete)
	one(catalog.FacetCause, even(t, t.causes))
	q.Text = string(place)
	return q, "incomplete, cause and address"
}
