"""Values of the demo data: items, colours, cities, names and reasons, for training and held out.

Only tables live here; the sentences are in `demo_frames.py`. The two splits share no item, colour, city, name or
reason (tests/unit/data/test_demo_data.py). For items the rule is stricter: they share no word either. Which value went
where was drawn at random. Then rare words left both splits: the first word of a value is at most two tokens of SmolLM2
after a quotation mark, because longer ones measure how a small model spells (it made "laboratorian" of a laundry
basket).
"""

from __future__ import annotations

from dataclasses import dataclass


def _values(text: str) -> tuple[str, ...]:
    return tuple(" ".join(value.split()) for value in text.split(","))


@dataclass(frozen=True)
class Vocabulary:
    """The values that one split draws from.

    `wearables` are items with a size. `faults` are reasons to return an item, `misfits` those only for a wearable,
    `regrets` reasons to cancel an order; each fits after "it is".
    """

    wearables: tuple[str, ...]
    goods: tuple[str, ...]
    colors: tuple[str, ...]
    cities: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    faults: tuple[str, ...]
    misfits: tuple[str, ...]
    regrets: tuple[str, ...]


TRAIN_WORDS = Vocabulary(
    wearables=_values("""
        jacket, sweater, dress, blouse, vest, polo shirt, denim shirt, linen shirt, winter coat, trench coat,
        wool coat, bathrobe, apron, tracksuit, cycling jersey, ski jacket, leather jacket, tunic, lab coat,
        summer dress, sun hat, bike helmet, leather belt, ski glove, hiking boot, sandal, parka, blazer,
        pullover, down jumper, coat, jeans jacket, evening gown, wedding dress, suit
        jacket, night gown, swim suit, ski suit, rain poncho, baseball cap, wool mitten, leather boot, ankle
        boot, flannel shirt, football jersey, maternity dress, work overall
    """),
    goods=_values("""
        mug, desk lamp, water bottle, yoga mat, umbrella, alarm clock, notebook, fountain pen, candle, mirror,
        picture frame, phone case, charger, keyboard, webcam, speaker, microphone, tripod, wallet, toaster,
        kettle, rice cooker, pizza cutter, mixing bowl, lunch box, baking tray, wine glass, salad bowl, serving
        dish, garden hose, flower pot, bird feeder, rake, hammer, power drill, toolbox, step ladder, flashlight,
        camping chair, cooler, puzzle, teddy bear, toy train, doll, kite, drone, bookshelf, armchair, bar stool,
        floor lamp, night light, pillow, duvet cover, bath towel, shower curtain, vacuum cleaner, fan heater,
        wall clock, calendar, paint brush, music box, cat bed, bike pump, bike lock, phone holder, screen
        protector, hard drive, router, desk organizer, filing cabinet, stapler, door mat, spice rack, cake
        stand, battery, baby monitor, high chair, hairbrush, vase, tablecloth, headset, printer, globe, soup
        ladle, pepper mill, garlic press, sofa, wardrobe, beanbag, chess set, telescope, compass, lantern, egg
        timer, bread bin, window blind, piggy bank, plant sprayer, rolling pin, blanket, curtain rod, rug,
        picture hook, coat rack, broom, mop, sponge, dish rack, measuring cup, whisk, peeler, colander, grater,
        tea pot, espresso cup, beer glass, water jug, kitchen scale, soap dish, toothbrush, hair dryer, shaving
        brush, razor, comb, nail file, first aid kit, umbrella stand, travel adapter, passport cover, neck
        pillow, lens cap, monitor arm, power bank, extension cord, light bulb, desk fan, smoke detector, door
        lock, mailbox, garden glove, lawn mower, hedge trimmer, seed box, plant stand, sun shade, picnic basket,
        fishing rod, tennis racket, football, swim cap, roller skate, sled, helmet lamp, drum stick, piano
        bench, sketch book, pencil case, marker set, glue gun, sewing kit, knitting needle, photo album,
        building block, rocking horse, balloon pump, costume mask, gift box, ribbon roll, hamster wheel, tool
        belt, tape measure, paint roller, wrench, saw, level, nail gun, sanding block
    """),
    colors=_values("""
        green, black, white, gray, pink, silver, beige, navy, turquoise, maroon, gold, cream, dark green, olive,
        coral, burgundy, rose gold, sky blue, mustard, khaki, orange, yellow, teal, ivory, lavender
    """),
    cities=_values("""
        Berlin, Paris, Rome, Chicago, Seattle, Denver, Tokyo, Osaka, Mumbai, Delhi, Nairobi, Cairo, Lima,
        Glasgow, Hamburg, Cologne, Milan, Turin, Naples, Venice, Seville, Valencia, Porto, Brno, Budapest,
        Athens, Patras, Istanbul, Tampere, Riga, Ghent, Utrecht, Nantes, Dallas, Miami, Tampa, Memphis, Detroit,
        Cleveland, Omaha, Boise, San Diego, San Antonio, Las Vegas, New Orleans, Salt Lake City, Calgary, Perth,
        Auckland, Manila, Seoul, Busan, Accra, La Paz, Sao Paulo, Buenos Aires, Mexico City, Sheffield, Norwich,
        Exeter, Cork, Galway, Tel Aviv, Amman, Colombo, Pune, London, Stockholm, Copenhagen, Amsterdam,
        Portland, San Francisco, Los Angeles, Vancouver, Melbourne, Wellington, Rabat, Leipzig, Salzburg,
        Bologna, Rio de Janeiro, Milwaukee, Raleigh, Minneapolis, Arlington, Honolulu, Lexington, Stockton,
        Cincinnati, Orlando, Newark, Lincoln, Madison, Reno, Akron, Mobile, Providence, Salem, Charleston,
        Richmond, Norfolk, Syracuse, Halifax, Regina, Quebec, Hamilton, Victoria, Oxford, Cambridge, Bath,
        Derby, Coventry, Hull, Reading, Newport, Stirling, Waterford, Nice, Rennes, Frankfurt, Hanover, Bonn,
        Mainz, Kiel, Basel, Bern, Graz, Linz, Genoa, Palermo, Verona, Pisa, Malaga, Turku, Odense, Leiden,
        Belgrade, Split, Damascus, Jerusalem, Haifa, Agra, Goa, Bali, Penang, Hong Kong, Beijing, Wuhan,
        Nanjing, Kobe, Darwin, Canberra, Kingston, Recife, Rosario, Tijuana, Harare, Algiers, Addis Ababa,
        Muscat
    """),
    first_names=_values("""
        Anna, Maria, John, Laura, Tom, David, Paul, Lucy, Mark, Julia, Daniel, Clara, Nina, Oscar, Helen, Simon,
        Max, Alice, George, Luca, Marta, Pablo, Diego, Ivan, Olga, Yuki, Kenji, Aiko, Mei, Ravi, Arjun, Fatima,
        Omar, Leila, Hassan, Lars, Louis, Camille, Manon, Grace, Ruby, Megan, Rhys, Fiona, Callum, Patrick,
        Sean, Ella, Ryan, Zoe, Mia, Logan, Ava, Isaac, Victor, Teresa, Joao, Jorge, Rosa, Samuel, Esther, Moses,
        Thandi, Robert, Charlotte, Henrik, Jonas, Petra, Ming, Salma, Chidi, Abena, Declan, Nora, Harvey,
        Audrey, Walter, James, Mary, Linda, Michael, Barbara, Susan, William, Richard, Joseph, Karen, Charles,
        Nancy, Matthew, Sandra, Anthony, Ashley, Donald, Steven, Andrew, Joshua, Kenneth, Kevin, Amanda, Brian,
        Melissa, Deborah, Edward, Rebecca, Timothy, Sharon, Jason, Jeffrey, Amy, Jacob, Angela, Gary, Eric,
        Nicole, Jonathan, Katherine, Stephen, Samantha, Larry, Christine, Justin, Debra, Scott, Rachel, Brandon,
        Benjamin, Janet, Gregory, Heather, Alexander, Diane, Frank, Raymond, Julie, Dennis, Jerry, Kelly, Tyler,
        Lauren, Aaron, Christina, Jose, Joan, Adam, Nathan, Judith, Henry, Andrea, Kyle, Martha, Ethel, Doris,
        Rose, Janice, Albert, Juan, Jean, Abigail, Russell, Philip, Bobby, Johnny, Danielle, Madison, Theresa,
        Alexis, Lori, Theo, Nils, Sven, Karl, Hans, Heidi, Pierre, Luc, Elise, Carlos, Miguel, Javier, Lola,
        Paulo, Tiago, Paolo, Boris, Anya, Amir, Nadia, Zara, Aisha, Anita, Neha, Jin, Hiro, Ken, Yui, Sora,
        Minh, Linh, Tuan, Kofi, Ama, Zuri
    """),
    last_names=_values("""
        Smith, Jones, Brown, Taylor, Martinez, Lopez, Weber, Nowak, Novak, Petrov, Hansen, Sato, Kim, Park,
        Chen, Wang, Singh, Patel, Sharma, Khan, Silva, Costa, Murphy, Kelly, Campbell, Stewart, Baker, Turner,
        Johnson, Fischer, Gupta, Fletcher, Sullivan, Marsh, Becker, Williams, Davis, Anderson, Thomas, Moore,
        Jackson, Martin, Lee, White, Harris, Clark, Lewis, Robinson, Walker, Young, Allen, King, Wright, Scott,
        Hill, Green, Adams, Nelson, Hall, Rivera, Mitchell, Carter, Roberts, Evans, Parker, Collins, Edwards,
        Morris, Cook, Rogers, Morgan, Cooper, Reed, Bailey, Bell, Howard, Ward, Cox, Wood, Watson, Brooks, Gray,
        Price, Myers, Long, Foster, Sanders, Ross, Powell, Perry, Russell, Bernard, Conti, Berg, Dahl, Choi,
        Ito, Tran, Ali, Hassan, Banda
    """),
    faults=_values("""
        cracked, torn, stained, not clean, bent, faded, dented, too heavy, not what I expected, of poor quality, too
        small, too big, missing a part, the wrong color, the wrong model, broken, chipped, poorly made, too shiny,
        not as described, dirty, wet, damaged, too thick, very ugly, a bit too dark, the wrong one, ripped, crooked,
        incomplete, of low quality, nothing like the picture, the wrong shade, too fragile, missing the label,
        already open, badly finished, too heavy for us, too small for my son, of no use to us, missing its lid, not
        the same as online, poorly glued
    """),
    misfits=_values("""
        too tight, too loose, too wide, the wrong size, a size too small, itchy, tight at the shoulders, way too
        big, not my size, too baggy, too narrow, two sizes too large, loose at the waist
    """),
    regrets=_values("""
        a duplicate, too slow, a mistake, cheaper elsewhere, taking too long, over my budget, the wrong item, not
        what I wanted, not for me, delayed again, a bad idea, out of stock, missing a discount, too pricey, not
        necessary anymore, the wrong pattern, an error, delayed too much, something I already own, cheaper in town
    """),
)

HELD_OUT_WORDS = Vocabulary(
    wearables=_values("""
        hoodie, raincoat, cardigan, skirt, tank top, crop top, running shoe
    """),
    goods=_values("""
        backpack, frying pan, mouse pad, camera bag, watch, blender, cutting board, watering can, tent, sleeping
        bag, jump rope, board game, ironing board, air fryer, dog leash, fish tank, pet carrier, car seat, memory
        card, tote bag, key ring, ice bucket, diary, thermos, violin, doorbell
    """),
    colors=_values("""
        red, blue, brown, light blue, lime green, mint, purple, violet
    """),
    cities=_values("""
        Madrid, Vienna, Boston, Toronto, Leeds, Cardiff, Geneva, Oslo, Lille, Kansas City, Montreal, Lagos, York,
        Doha, Durban, Brussels, Lyon, Edinburgh, Austin, Singapore, Cape Town
    """),
    first_names=_values("""
        Peter, Sarah, Emma, Ben, Eva, Hannah, Wei, Ingrid, Freya, Marco, Jack, Owen, Isla, Ethan, Naomi, Leah,
        Emily, Oliver, Irene, Deepa, Naoko, Lucia, Thiago
    """),
    last_names=_values("""
        Miller, Wilson, Rossi, Schmidt, Moreau, Ahmed, Romero
    """),
    faults=_values("""
        rusty, already used, badly packed, full of scratches, very thin, falling apart, missing its box, useless to
        me, different from the photo, too big for me, defective, warped, peeling
    """),
    misfits=_values("""
        too short, a little too tight, too long
    """),
    regrets=_values("""
        too expensive, no longer needed, not urgent anymore, an accident, late, a double order, too costly, late for
        the wedding
    """),
)

# Closed classes, the same in both splits: the answer normalises them, so they are labels and not copied values.
COUNTS: dict[str, int] = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
SIZES: dict[str, str] = {
    "S": "S",
    "M": "M",
    "L": "L",
    "XL": "XL",
    "small": "S",
    "medium": "M",
    "large": "L",
    "extra large": "XL",
}
