# SPDX-License-Identifier: Apache-2.0
"""Roles of the catalog models in a room.

Listed by id, not guessed from names: "Indoor plant" is no door and a "Bench" may be a park's.
A model that is not listed (cars, trees, staircases, tiny tools) is never used.
"""

from __future__ import annotations

LIBRARIES: dict[str, str] = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}
"""Libraries (file names) of Debian's sweethome3d-furniture and their licences (SPDX)."""

_PREFIX = {
    "cc0": "BlendSwap-CC-0",
    "by": "BlendSwap-CC-BY",
    "kl": "KatorLegaz",
    "rl": "Reallusion",
    "sc": "Scopia",
}

# role -> (class, "library: id id …; library: …")
ROLES: dict[str, tuple[str, str]] = {
    "bed": (
        "bed",
        "cc0: bed1 bed2 bed3 bedWithTexture; by: lettoCloud; sc: bed1 iron_bed futon "
        "convertible-sofa-BZ-opened",
    ),
    "single_bed": (
        "bed",
        "by: bunkBed juniorBed; sc: children_bed captains-bed mezzanine-bed day_bed_frame "
        "hospital-bed",
    ),
    "crib": ("bed", "cc0: babyRockingBed; sc: crib"),
    "bedside": ("furniture", "cc0: bedsideTable2; by: bedsideTable; kl: filing-cabinet"),
    "wardrobe": (
        "furniture",
        "cc0: wardrobeWithSlidingDoors cupboard; by: wardrobe wardrobe2; sc: wardrobe1",
    ),
    "dresser": (
        "furniture",
        "by: dresserWithDrawers chest; sc: changing-table dressing-table box_room office_box "
        "kids_shelves; kl: trunk-large",
    ),
    "bookcase": (
        "furniture",
        "cc0: bookcase shelves verticalShelves; by: bookcase; kl: full-bookcase utility-shelving; "
        "sc: dining_room office_furniture1 contemp_living_room kids_shelves",
    ),
    "tv_stand": ("furniture", "by: tvStand; cc0: televisionCabinet; sc: box_room"),
    "tv": ("tv", "cc0: led_tv; sc: tv"),
    "wall_tv": ("tv", "sc: wall-flat-tv"),
    "computer": ("tv", "kl: apple-imac-1998; sc: apple_pc"),
    "laptop": ("object", "by: laptop; kl: apple-ibook-2001"),
    "chair": (
        "chair",
        "cc0: oakChair plasticChair sillaBlanca chair antiqueChair chairWithCushion chair2 "
        "osakaChair thonet foldingChair; by: cafe_set_mota_chair cafe_set_tonon_chair "
        "chairWithCushion ella_chair_f leaf_chair foldingChair plaidChair kitchenChair chair3 "
        "chair4; kl: dining-chair cafe-chair; sc: chair3 chair4 chair tubular_chair plastic_chair "
        "white_kitchen_chair kids_desk_chair modern_armchair ryokanChair rattanArmchair",
    ),
    "stool": (
        "chair",
        "cc0: silla2 stool stool2 pianoBench; by: green_stool; kl: bar-stool bench; "
        "sc: bar_chair kitchen_stool puff",
    ),
    "office_chair": (
        "chair",
        "cc0: armchair; by: classSeat armChair2; kl: office-chair; sc: office_chair armchair3 "
        "kids_desk_chair",
    ),
    "armchair": (
        "chair",
        "cc0: armchair2 modernArmchair winchesterArmchair designChair; by: armchair1 fotel; "
        "kl: mid-century-chair chair-ottoman; sc: armchair armchair1 armchair2 ext_chair",
    ),
    "child_chair": ("chair", "by: childChair; sc: children_chair baby_high_chair"),
    "sofa": (
        "sofa",
        "cc0: couch sofa2 winchesterSofa; by: sofa2 sofa3 couch3; kl: futon-couch "
        "mid-century-bench-sofa mid-century-sofa; sc: clear_sofa simple_sofa beige_sofa_2seats "
        "beige_sofa burlap_sofa leather_sofa sofa_white_beige rattanSofa "
        "convertible-sofa-BZ-closed",
    ),
    "corner_sofa": ("sofa", "cc0: L_shaped_sofa sofa couch2; by: cornerSofa"),
    "dining_table": (
        "table",
        "cc0: oakTable table; by: table; kl: glass-dining-table folding-table; sc: black_table "
        "table3 table4 wooden_table_office metal_glass_table white_kitchen_table "
        "table-on-trestles table-with-leaning-feet round-table wooden_office_pear_table "
        "wooden_office_teak_table",
    ),
    "small_table": (
        "table",
        "cc0: tableWithTablecloth; by: cafe_set_mota_table cafe_set_tonon_table; kl: cafe-table; "
        "sc: children_table bar_table",
    ),
    "coffee_table": (
        "table",
        "by: coffeeTable; sc: saloon_table coffee_table living_room_table table_wood_and_iron "
        "coffee-table2 rattanTable",
    ),
    "desk": (
        "table",
        "cc0: desk lbDesk; by: biurko3 simpleDesk officeTable; sc: glass_table_office desk_table "
        "kids_desk_table kids_wooden_desk wooden_office_alder_table "
        "wooden_office_pear_table_rect; kl: custom-desk",
    ),
    "kitchen_base": (
        "furniture",
        "cc0: drawersCabinet lowerCabinet sinkCabinet; by: kitchenDrawersCabinet "
        "kitchenLowerCabinet kitchenSink kitchenSmallLowerCabinet; sc: clothes_washing_machine "
        "dryer_machine",
    ),
    "stove": ("furniture", "by: largeStove; kl: propane-stove; cc0: doubleOven"),
    "fridge": ("furniture", "cc0: refrigerator largeFridge highCabinet; kl: fridge"),
    "kitchen_top": (
        "furniture",
        "cc0: glassDoorCabinet smallUpperCabinet upperCabinet; by: kitchenUpperCabinet "
        "kitchenSmallUpperCabinet kitchenGlassDoorCabinet",
    ),
    "hood": ("object", "by: hood; sc: kitchenHood"),
    "island": ("furniture", "by: kitchenIsland; cc0: islandExtension"),
    "toilet": (
        "furniture",
        "cc0: toiletsUnit bidet; by: toilets_unit_jay_hardy modernToilet",
    ),
    "washbasin": (
        "furniture",
        "cc0: washbasin modernVanity; by: washbasin_jay_hardy; sc: bathroom_vanity double_vanity",
    ),
    "hung_basin": ("furniture", "sc: bathroom3 bathroom4 small_lavatory"),
    "bath": (
        "furniture",
        "cc0: showerStall; by: bath_jay_hardy; sc: corner_bathtub islandBath",
    ),
    "washing_machine": (
        "furniture",
        "by: washing_machine; sc: clothes_washing_machine dryer_machine",
    ),
    "fireplace": ("furniture", "sc: fireplace1 fireplace2"),
    "piano": ("furniture", "by: piano; cc0: pianoAQueue"),
    "radiator": (
        "object",
        "cc0: radiator radiator2 radiator3; by: bathroomRadiator modernRadiator radiatorAndTowels",
    ),
    "plant": (
        "object",
        "cc0: decorativePlant plant; by: mediumIndoorPlant yuccaPlant decorativePlant; "
        "sc: maceta ficus vase5 christmas_tree",
    ),
    "small_plant": (
        "object",
        "cc0: littlePlant augalas cactus orchids; by: arbolito luckyBamboo spider_plant "
        "succulentPlant tulip tulips; sc: bonsai-tree",
    ),
    "table_lamp": (
        "object",
        "cc0: desklamp; by: lamp; kl: pedestal-vase-lamp; sc: desk_lamp1 desk_lamp2 little_lamp1 "
        "little_lamp2 little_lamp3 table_lamp livingroom_lamp1",
    ),
    "pendant": (
        "object",
        "cc0: lamp2; by: hangingLight; kl: hanging-restaurant-light; sc: saloon_lamp; "
        "cc0: ceilingFan",
    ),
    "ornament": (
        "object",
        "cc0: JapaneseLantern speaker2 deer teddyBear woodToy; by: radio clock toyTrain "
        "rubix2 mp3Station; sc: vase1 vase2 vase3 jar candle complements2 mini_stereo "
        "pottery old_jar video-projector playstation4 dvd frame1 frame2; kl: MIDI-keyboard",
    ),
    "tableware": (
        "object",
        "cc0: caffe_final plasticCup beerGlass bread tetrapak yogurtBottle; by: coffee_cup glass "
        "beer_bottle cocktailGlass; kl: coffee-mug bowl 12-oz-glass plate-and-ustensils "
        "red-wine-bottle-01 dinner-plate; sc: wine_bottle apples teapot cup tray bowl "
        "bowlWithFruits bowlWithSalad ensemble-assiette-couteau-fourchette-cuillere-verre "
        "birthday_cake",
    ),
    "kitchenware": (
        "object",
        "cc0: kitchenaid knifeStandSwap coffeeBrewer; by: boiler choppingBoard "
        "microwave breadBox kitchenScale utensilsPot coffeePress espressokettle largePan; "
        "kl: coffee-maker oil-servers; sc: coffee_machine small-oven toaster paperTowelHolder "
        "spiceTower kitchenKnifeStandSet sandwichMaker cooker deepFryerWithFrenchFries",
    ),
    "desk_clutter": (
        "object",
        "cc0: kalender headphones; by: wirelessOfficePhone3 book; kl: newspaper stapler; "
        "sc: bandeja penbox phone inkjet_and_scanner_printer tablet reflex_camera",
    ),
    "bath_clutter": (
        "object",
        "cc0: cosmeticsPot flacon; sc: com_bath com_bath2_soap com_bath2_jabon_pijo "
        "medicoscopia_bottle2 com_bath3_toalla folded_clothes",
    ),
    "floor_clutter": (
        "object",
        "cc0: dustbin box crate briefcase handbag slippers bootie basketball electricGuitar "
        "riggedFan tableFan speaker3 fireExtinguisher caballito; by: backpack suitcase gift "
        "ballonFoot bulldog; kl: bullet-trash-can recycling-bin; sc: cardboard-box "
        "open-cardboard-box clothes-basket sneakers woman_shoes doll-house wood_logs shovel "
        "clothes-horse step-ladder-wood cat dog water_cooler broom punching-ball mocassin",
    ),
    "gym": (
        "object",
        "by: treadmill abdominalBench; sc: indoor-bike; sc: bicycle; by: bike wheelchair",
    ),
    "game_table": ("table", "cc0: poolTable table_football; by: table_tennis"),
    "rack": ("object", "sc: clothes-rack japanese_style_screen; cc0: ammoBox"),
    "person": (
        "object",
        "rl: female01 female02 female03 male01 male02 male03 holdingMale01 holdingFemale01 "
        "holdingFemale02 boyStanding girlStanding; kl: female-01-casual-clothing male-01-suit; "
        "sc: mannequinMale",
    ),
    "wall_object": (
        "object",
        "cc0: cuckooClock wallLight; kl: wall-lamp-artwork porch-light; sc: dart_game "
        "internal-unity-air-conditioning intercom_with_screen CCTV",
    ),
    "bath_wall": (
        "object",
        "cc0: toiletPaperDispenser towel2 towel3; kl: towel-rack bathroom-tissue; sc: com_bath3",
    ),
}


def roles_by_model() -> dict[tuple[str, str], list[str]]:
    """Roles by (library, id) of a model."""
    roles: dict[tuple[str, str], list[str]] = {}
    for role, (_, text) in ROLES.items():
        for part in text.split(";"):
            prefix, _, names = part.partition(":")
            for name in names.split():
                roles.setdefault((_PREFIX[prefix.strip()], name), []).append(role)
    return roles
