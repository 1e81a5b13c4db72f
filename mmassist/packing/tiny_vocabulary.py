"""Byte pair merges of the tiny tokenizer, in order of rank: left and right part in turn.

Written by ``python -m tools.train_tiny_tokenizer``; do not edit.
"""

MERGES = r"""
Ġ t h e Ġt he Ġ a Ġ s e r i n n d Ġ w i t Ġ c a t o u Ġ p r e Ġ o Ġa nd Ġ b l e Ġt o Ġ m Ġ f Ġ it Ġ in i s n e n t a s
a r e d t er i l k e o w Ġ h Ġ d Ġ u h at u t a c e s Ġ g y ou Ġ you it h Ġo n Ġ T Ġ l Ġw ith e l o n in g Ġo f v e Ġs
t a ke o r Ġ I Ġ W a l Ġ le a n e n e t i c i d s e Ġc o ĠT he g h l d r i t t v er Ġ is ou r a d Ġb e ' s a b e c i r
m e p er r o s er u r Ġt h Ġt hat Ġh a . Ċ s s s t Ġ ne c h e p k n Ġ C Ġ kn Ġthe m nd s Ġw at at ter Ġb atter Ġu ser
ac h gh t t o Ġ P o t u g Ġt w Ġt ur Ġs a Ġp ut re ad Ġin to Ġd o Ġwat er Ġ Y a nt c k e e e nt i f i on l o l y l ic
m o p s Ġs p Ġw hat Ġp l Ġp our Ġb o Ġf or nt il as k il l ac e ĠW he Ġco ver Ġbatter y t he Ġ he Ġs o Ġu ntil ĠY ou a
m a in c re g e o o o re p en r ou u re Ġ N Ġ n Ġ re Ġ ri Ġt i Ġt r Ġt ask Ġthe y Ġa s Ġa tt Ġs ec Ġs cre Ġw e Ġc ab
ou ld Ġp i re ss Ġm e Ġf il ar d ar t Ġyou r el l ĠP ut Ġtur n ĠWhe n Ġri ght Ġsec o Ġscre w Ġfil ter o ld Ġ ke as s
Ġl i Ġst ep Ġne ed a y a per f ore g ain k ing m al n s p per q u r in u m u p x t Ġ B Ġ G Ġ R Ġ S Ġ j Ġ qu Ġt ake Ġa
gain Ġs ee Ġs lic Ġs mal Ġw he Ġw ant Ġw ill Ġc h Ġc up at e at o ou t Ġp ress Ġp aper Ġo ne Ġb ut Ġb read Ġto p Ġm
ake Ġm ug is t Ġh as Ġd ri Ġg rou Ġl id Ġst art ĠI t Ġle a id e tt le ab le ir st Ġha nd Ġha ve Ġkn ow Ġkn if Ġtw o
Ġsa nd Ġdo ne lo se Ġpl ate the r Ġso me ĠN ow Ġti me Ġatt ach Ġcab in Ġpi ec Ġseco nds Ġscrew s Ġslic e Ġsmal l Ġdri
pper Ġgrou nds Ġknif e b e d d Ġ H Ġ e Ġa dd Ġs h Ġg o Ġhe at , Ċ L et a it a ps a king b out c e e as e mo f f f t h
o h ing i le i ve i or k s k ed l p m b m ato o b o v o on o ps r a s ed t ion u e u l u ck u be w e w er w el Ġ A Ġ O
Ġ v Ġ ed Ġ if Ġt ell Ġt ube he d he ck Ġthe n Ġa n Ġa t Ġa re Ġa bout Ġs in Ġs al Ġs ug er a in d in is in ut Ġw ait
Ġc an Ġc am Ġp ow Ġp ro Ġp ot Ġp rin re e Ġo il Ġo pen Ġo ther Ġb y Ġb ow le as le an Ġto mato Ġto wel Ġm ov Ġm inut
Ġf l Ġf irst Ġf ive Ġf inis Ġin ter nt able Ġh al Ġd ro Ġu p ac k es tion Ġg l Ġon ion Ġl oo Ġst ops or y ĠW hat Ġle t
Ġle ft ic k se mb Ġco ff Ġbe fore Ġth is Ġth ir Ġne w Ġne xt ĠC lose Ġtw ent Ġtur ntable Ġsa id Ġsp read Ġpl ace Ġbo x
Ġbo ard Ġhe lp oo d Ġtr uck Ġas semb Ġwe ar Ġke ep ass is Ġli ke Ġstep s ĠB e ĠR emo Ġqu estion Ġwhe el Ġch assis ist
ant Ġlea ve Ġpiec es aps ed Ġsal t Ġsug ar Ġcam era Ġprin ter Ġbow l leas e Ġminut es Ġinter ior Ġhal f Ġdro ne Ġcoff
ee Ġtwent y ĠRemo ve l i s h Ġ F Ġ Let Ġa ss Ġc ould Ġo ver Ġf old Ġle ss Ġke ttle Ġli ght Ġe ach Ġass istant ' d ' l
' t ' re ' ve 1 2 4 2 D on E l M aking T he U se a g a p a re b o c o c t c er c es c ul d er d le d ri d ge e m e ne
e ed e el e ad e xt f ter f ug f ace f ul g g g n g in g es g et g ress h is h an h ile h ind i m i p i x i z i gh i
um j o j ec l f l in l it l ow l ing l ace l am m p m er m ar m ly m ind m ory n ch n ces o l o m o le o ne o ad p p p
et p pen p oon p ene r m r u r y r ow r on r id r mo r am t e t s t y t le t on t hing u st u ch u ce v ed v es v ing
w it w is w ic w ay y thing z er Ġ ou Ġ el Ġ en Ġ ro Ġ out Ġ Don Ġ El Ġ Making Ġ Use Ġt ou Ġt en Ġt able Ġt eas Ġt ap
Ġt em he r he s he es he lf Ġthe re Ġthe se Ġthe rmo Ġa ns Ġa li Ġa pp Ġa rm Ġa way Ġs it Ġs et Ġs ur Ġs ure Ġs um Ġs
ide Ġs eas Ġs ile Ġs we Ġs im Ġs low Ġs helf er e in k in al in se in ch nd er Ġw re Ġw as Ġw el Ġw or Ġw ent Ġw ell
Ġw ho Ġw his Ġw ip Ġw ron Ġw ere it tle Ġc ou Ġc ar Ġc ut Ġc on Ġc ake Ġc ir Ġc ur Ġc ent Ġc lo Ġc lic Ġc ard Ġc lose
Ġc ra Ġc heck Ġc lean Ġc are Ġc lam Ġc ru Ġc hees at ch at ure at ory Ġp an Ġp ep Ġp ain Ġp art Ġp ick Ġp lease Ġp eel
Ġp inch re s re at re nt re el re en Ġo r Ġo pene Ġb es Ġb ake Ġb aking Ġb ack Ġb ag Ġb lin le s le dge Ġto y Ġto get
Ġto ol Ġm is Ġm ed Ġm il Ġm an Ġm et Ġm ic Ġm id Ġm ot Ġm ore Ġm ist Ġm ix Ġm uch Ġf ar Ġf our Ġf ro Ġf ree Ġf rid Ġf
reel Ġin ser Ġin st is hes ne ct nt er as h as t as ure ar se ar lic ow n Ġh ow Ġh our Ġh ot Ġh ole Ġd et Ġd ue Ġd ry
Ġd ishes Ġd own Ġu se Ġu sed Ġu nder ac hed Ġg et Ġg ent Ġg lo Ġg ood Ġg ram Ġg reen Ġg arlic ĠT hat ĠT ake ĠT han Ġl
ab Ġl um Ġl oad Ġl ittle Ġl ast el ve on nect ve n Ġst ir Ġst ill Ġst ay or atory ĠI s ĠW ell ĠW hile ĠW atch ĠW ash
Ġle tt Ġle ns an s an ill an ge et we ic e Ġco ne Ġco ld Ġco arse ĠThe n ĠThe y ĠThe re ri fug tt ach ver ything Ġbe
en Ġbe gin Ġbe ans ir mly me ter per ature ro lit ro ts Ġth rou Ġth ree Ġth row Ġth ink Ġha nds Ġha ppen ch ing ĠC
ould ĠC ho ĠC heck ĠC lean ĠC onnect Ġkn ob Ġwat ching ght en ĠP our ĠP lace ot h ot hing Ġtw elve Ġsa mp read y ĠY es
ck wis mo st mo ved Ġsp ace Ġsp oon Ġsp eed Ġpour ing Ġbo ttle Ġfor k ĠWhe re ĠN ext Ġn o
"""
